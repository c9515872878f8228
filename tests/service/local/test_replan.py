"""A spec planned again by a worker process, whatever a stranger wrote into it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.local import replan
from seedpoint.service.local.blob_files import LocalBlobs
from seedpoint.service.local.replan import Replanned, replanning
from seedpoint.service.workers.worker import CallLimits
from tests.support.verifying import LINEAR, rule, spec_of, tensors


def workers() -> set[BaseProcess]:
    """Processes that this one has started and not ended; other tests' services among them."""
    return set(multiprocessing.active_children())


def plan_of(spec: dict[str, Any]) -> Plan:
    return make_plan(parse_spec(spec), platform=platform()).plan


PLAN = plan_of(spec_of(tensors(a=("F32", 3)), rule("a", "values", values=[1, 2, 3])))


def result(plan: Plan) -> Replanned:
    with replanning(plan, LocalBlobs()) as future:
        return future.result()


def test_a_plan_comes_back_with_its_literals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = workers()
    there = partial(tempfile.TemporaryDirectory, dir=tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", there)
    with replanning(PLAN, LocalBlobs()) as future:
        found = future.result()
        assert list(tmp_path.iterdir())
    assert found.plan is not None and found.plan.id == PLAN.id
    assert [len(blob) for blob in found.blobs.values()] == [12]
    assert not list(tmp_path.iterdir())
    assert workers() <= before


def test_a_platform_bound_plan_comes_back_with_its_tensors() -> None:
    plan = plan_of(spec_of(LINEAR, init={"generator": "torch"}))
    with replanning(plan, LocalBlobs()) as future:
        read = future.result().materialized
        found = {name: len(read[name](0, size)) for name, size in (("weight", 24), ("bias", 8))}
    assert found == {"weight": 24, "bias": 8}


def test_tensors_that_memory_cannot_hold_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replan, "_memory_bytes", lambda: 100)
    found = result(plan_of(spec_of(LINEAR, init={"generator": "torch"})))
    assert found.plan is not None and not found.materialized
    assert found.failure is not None and "bytes of memory" in found.failure


def test_a_spec_that_is_refused_says_why() -> None:
    found = result(replace(PLAN, spec={"architecture": {"type": "Noise"}, "more": 1}))
    assert found.plan is None and found.failure is None
    assert found.refusal is not None and "architecture" in found.refusal
    assert found.refusal.endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (CallLimits(0.0, 2 << 30), "took longer than 0 seconds"),
        (CallLimits(60.0, 1), "bytes of memory"),
    ],
)
def test_a_spec_that_takes_too_much_is_a_failure(
    limits: CallLimits, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replan, "PLAN", limits)
    layers = [LINEAR | {"in_features": 2, "name": f"l{n}"} for n in range(1000)]
    found = result(replace(PLAN, spec=spec_of({"type": "Sequential", "layers": layers})))
    assert (found.plan, found.refusal) == (None, None)
    assert found.failure is not None and reason in found.failure


def test_a_spec_beyond_the_limits_of_planning_is_a_failure() -> None:
    layer = {"type": "Repeat", "count": 10**6, "layer": LINEAR | {"in_features": 2}}
    found = result(replace(PLAN, spec=spec_of(layer)))
    assert found.refusal is None and found.failure is not None


def test_a_worker_that_dies_is_a_failure() -> None:
    before = workers()
    with replanning(PLAN, LocalBlobs()) as future:
        (child,) = workers() - before
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        assert future.result().failure is not None


def test_nobody_need_wait_for_a_result() -> None:
    before = workers()
    with replanning(PLAN, LocalBlobs()):
        pass
    assert workers() <= before
