"""Memory that large passes took goes back to the system once they have gone."""

from __future__ import annotations

import pytest

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.statistics import heap_trim, passes
from tests.support.running import mlp
from tests.support.waiting import eventually


def checkpoint() -> Checkpoint:
    plan = make_plan(parse_spec(mlp())).plan
    return Checkpoint(plan.id, plan, layout(plan), Evaluator(plan))


def test_free_memory_is_given_back_when_a_large_pass_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(heap_trim, "_trim", given_back.append)
    monkeypatch.setattr(heap_trim, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(passes, "LARGE_TENSORS", 3)
    gathered = passes.gathering(checkpoint())
    assert not given_back
    del gathered
    eventually(lambda: given_back, "nothing was given back")
    assert set(given_back) == {0}


def test_a_system_without_the_means_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap_trim, "_trim", None)
    monkeypatch.setattr(heap_trim, "_give_back", pytest.fail)
    heap_trim.give_back_after(passes.gathering(checkpoint()))
