"""Recordings: a sweep builds its architecture once, and plans exactly as if it had not."""

from __future__ import annotations

import copy
import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.concurrency.cache import LatestCache
from seedpoint.service.planning import architecture_cache as module
from seedpoint.service.planning.architecture_cache import Recordings
from tests.support.places import EXAMPLES
from tests.support.running import mlp

SPECS = sorted(EXAMPLES.glob("*.json"))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The architectures that have been built."""
    seen: list[object] = []
    survey = module.survey

    def noting(architecture: Any, limits: Limits, **more: Any) -> Any:
        seen.append(architecture)
        return survey(architecture, limits, **more)

    monkeypatch.setattr(module, "survey", noting)
    return seen


def cached(tensors: int) -> Recordings:
    return Recordings(LatestCache(tensors, attrgetter("weight")))


def record(recordings: Recordings, document: Any) -> bytes:
    return recordings.plan(document, platform=platform())[1].plan.record


def alone(document: Any) -> bytes:
    return make_plan(parse_spec(document), platform=platform()).plan.record


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
def test_a_sweep_plans_as_if_each_spec_were_the_first(path: Path, generator: str) -> None:
    document = json.loads(path.read_text())
    document.setdefault("init", {})["generator"] = generator
    recordings = cached(1000)
    for change in (
        *({"seed": seed} for seed in (0, 1, "2", 2**32 - 1, 1)),
        {"unmatched": "own"},
        {"constants": {"unused": 1} | document["init"].get("constants", {})},
        {"seed": 3},
    ):
        document["init"] |= change
        assert record(recordings, copy.deepcopy(document)) == alone(document)
    for more in ({"dtype": "bfloat16"}, {"ties": "each"}, {"max_shard_size": "1MB"}):
        document |= more
        assert record(recordings, copy.deepcopy(document)) == alone(document)


def test_a_sweep_over_seeds_rules_and_dtypes_builds_once(built: list[object]) -> None:
    recordings = cached(1000)
    for seed in range(5):
        for dtype in ("float32", "float16"):
            document = mlp(seed) | {"dtype": dtype}
            document["init"]["rules"] = [{"initializer": {"type": "normal", "std": 0.1 + seed}}]
            record(recordings, document)
    assert len(built) == 1


def test_the_architectures_used_latest_are_kept(built: list[object]) -> None:
    recordings = cached(3 * (1 + 4 + 3))  # One, four tensors and three modules: three MLPs.
    for hidden in (1, 2, 3, 1, 4, 1, 2):
        record(recordings, mlp(hidden=hidden))
    assert len(built) == 5  # 2 was longest unused when 4 came.


def test_one_that_is_larger_than_all_that_is_kept_still_sweeps(built: list[object]) -> None:
    recordings = cached(0)
    for seed in range(3):
        record(recordings, mlp(seed))
    assert len(built) == 1


def test_a_fault_names_the_place_in_the_document_of_whoever_asks() -> None:
    layer = {"type": "Custom", "parameters": {"w": {"shape": [2]}}}
    as_object = {"type": "Module", "children": {"a": layer}}
    as_list = {"type": "Module", "children": [layer | {"name": "a"}]}
    recordings = cached(1000)
    for architecture, path in (
        (as_object, "architecture.children.a.parameters.w"),
        (as_list, "architecture.children.0.parameters.w"),
    ) * 2:
        document = {"architecture": architecture}
        with pytest.raises(SpecError) as planned:
            record(recordings, document)
        with pytest.raises(SpecError) as expected:
            alone(document)
        assert planned.value.faults == expected.value.faults
        assert path.startswith(planned.value.faults[0].path)


@pytest.mark.parametrize(
    "init",
    [
        {"seed": -1},
        {"seed": 2**64},
        {"generator": "numpy", "seed": 2**32},
        {"rules": [{"match": {"name": "nothing"}, "initializer": {"type": "zeros"}}]},
        {"rules": 1},
        [],
        None,
    ],
)
def test_a_known_architecture_excuses_no_fault(init: Any) -> None:
    recordings = cached(1000)
    record(recordings, mlp())
    document = mlp() | {"init": init}
    with pytest.raises(SpecError) as expected:
        alone(document)
    for _ in range(2):
        with pytest.raises(SpecError) as planned:
            record(recordings, document)
        assert planned.value.faults == expected.value.faults
    assert record(recordings, mlp(1)) == alone(mlp(1))


@pytest.mark.parametrize("document", [None, [], 1, {}, {"architecture": None}, {"init": {}}])
def test_what_is_no_spec_is_a_fault(document: Any) -> None:
    with pytest.raises(SpecError):
        record(cached(10), document)


def test_what_nests_too_deeply_is_a_fault_with_its_path() -> None:
    layer: dict[str, Any] = {"type": "ReLU"}
    for _ in range(400):
        layer = {"type": "Sequential", "layers": [layer]}
    with pytest.raises(SpecError, match="nested too deep; at most 64 layers") as raised:
        record(cached(10), {"architecture": layer})
    assert raised.value.faults[0].path.startswith("architecture.layers.0")


def test_what_is_beyond_a_limit_is_not_kept(built: list[object]) -> None:
    recordings = cached(1000)
    for _ in range(2):
        with pytest.raises(LimitExceeded):
            recordings.plan(mlp(), platform=platform(), limits=Limits(modules=3))
    assert len(built) == 2


def test_a_library_s_model_in_a_tree_is_built_for_each_dtype(built: list[object]) -> None:
    child = {"type": "preset", "name": "gpt2-tiny"}
    document: dict[str, Any] = {"architecture": {"type": "Module", "children": {"lm": child}}}
    recordings = cached(1000)
    for dtype in ("float32", "bfloat16", "float32"):
        document["dtype"] = dtype
        assert record(recordings, copy.deepcopy(document)) == alone(document)
    assert len(built) == 2
