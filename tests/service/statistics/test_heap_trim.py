"""Memory that large passes took goes back to the system once they have gone."""

from __future__ import annotations

import weakref

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


class Large:
    """An object that is freed when its last name goes."""


def test_free_memory_is_given_back_when_a_large_object_has_gone() -> None:
    given_back: list[int] = []
    whole = Large()
    heap_trim.give_back_after(whole, trim=given_back.append, delay_seconds=0.0)
    assert not given_back
    del whole
    eventually(lambda: given_back, "nothing was given back")
    assert given_back == [0]


def test_a_system_without_the_means_does_without() -> None:
    whole = Large()
    heap_trim.give_back_after(whole, trim=None)
    assert weakref.getweakrefcount(whole) == 0


@pytest.mark.parametrize(("tensors", "is_large"), [(3, True), (4, False)])
def test_a_pass_over_many_tensors_is_large(
    monkeypatch: pytest.MonkeyPatch, tensors: int, is_large: bool
) -> None:
    wholes: list[object] = []
    monkeypatch.setattr(heap_trim, "give_back_after", wholes.append)
    monkeypatch.setattr(passes, "LARGE_TENSORS", tensors)
    gathered = passes.gathering(checkpoint())
    assert wholes == ([gathered] if is_large else [])
