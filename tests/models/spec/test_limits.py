"""Limits of a spec, and the places of the problems beyond them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from seedpoint.models.architectures import FOREIGN, Tensors, catalogue, check, parse
from seedpoint.models.errors import LimitExceeded
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.record_architecture import survey
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from tests.support.running import mlp

ZEROS = {"initializer": {"type": "zeros"}}


def exceeded(document: Any, limits: Limits) -> str:
    with pytest.raises(LimitExceeded) as raised:
        make_plan(parse_spec(document), limits=limits)
    (fault,) = raised.value.faults
    return str(fault)


def test_modules_are_counted_before_any_is_made() -> None:
    document = {"architecture": {"type": "Repeat", "count": 10**15, "layer": {"type": "ReLU"}}}
    told = exceeded(document, Limits())
    assert told == f"architecture: would make {10**15 + 1} modules; at most 100000 are allowed"


def test_tensors_are_limited_whether_built_or_listed() -> None:
    told = exceeded(mlp(), Limits(tensors=3))
    assert told == "architecture: has 4 tensors; at most 3 are allowed"
    listed = {"type": "tensors", "tensors": {name: {"shape": [1]} for name in "abcd"}}
    assert exceeded({"architecture": listed}, Limits(tensors=3)) == told


def test_tensors_are_counted_before_most_are_made() -> None:
    linear = {"type": "Linear", "in_features": 8, "out_features": 8}
    document = {"architecture": {"type": "Repeat", "count": 99_000, "layer": linear}}
    told = exceeded(document, Limits())
    assert told == "architecture: has 198000 tensors; at most 100000 are allowed"


EXAMPLES = [
    entry["example"]
    for entry in catalogue()
    if entry["type"] != "Ref" and not isinstance(parse(entry["example"]), (Tensors, *FOREIGN))
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_no_more_tensors_are_counted_than_are_made(example: dict[str, Any]) -> None:
    repeated = {"type": "Repeat", "count": 3, "layer": example}
    for layer in (example,) if "input_shape" in example else (example, repeated):
        architecture = parse(layer)
        assert not isinstance(architecture, Tensors)
        assert check(architecture).least_tensors() <= len(survey(architecture).tensors)


def test_tied_tensors_are_not_counted() -> None:
    tied = {"type": "Linear", "in_features": 8, "out_features": 8, "tie": {"weight": "a.weight"}}
    linear = {"type": "Linear", "in_features": 8, "out_features": 8, "name": "a"}
    copies = {"type": "Repeat", "count": 5, "layer": tied, "name": "b"}
    architecture = parse({"type": "Sequential", "layers": [linear, copies]})
    assert not isinstance(architecture, Tensors)
    assert check(architecture).least_tensors() == len(survey(architecture).tensors) == 7


@pytest.mark.parametrize("at", ["init.rules", "dtype.rules"])
def test_rules_are_limited_by_the_names_they_are_tried_on(at: str) -> None:
    rules = {"init.rules": [ZEROS] * 3}
    dtypes = {"dtype.rules": [{"match": {}, "dtype": "float32"}] * 3}
    document = mlp() | {
        "init": {"rules": rules.get(at, [])},
        "dtype": {"rules": dtypes.get(at, [])},
    }
    told = exceeded(document, Limits(matches=11))
    assert told == f"{at}: 3 rules are too many for 4 tensor names; at most 2 are allowed"


def test_what_is_just_within_the_limits_is_planned() -> None:
    document = mlp() | {"init": {"rules": [ZEROS] * 3}}
    plan = make_plan(parse_spec(document), limits=Limits(modules=4, tensors=4, matches=12)).plan
    Limits(plan_bytes=len(plan.record)).check_plan(len(plan.record))
    with pytest.raises(LimitExceeded, match="the plan takes"):
        Limits(plan_bytes=len(plan.record) - 1).check_plan(len(plan.record))


def test_a_limit_that_is_exceeded_is_told_as_such_by_another_process() -> None:
    error = pickle.loads(pickle.dumps(LimitExceeded.at("a.b", "too many")))
    assert type(error) is LimitExceeded
    assert str(error) == "a.b: too many"
