"""Warnings of functions that have no finite value for some elements."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec

NORMAL = {"type": "normal"}
LOG, SQRT, EXP = ({"type": name} for name in ("log", "sqrt", "exp"))


def warnings(
    rule: dict[str, Any], shape: Any = (40, 50), dtype: str = "float32", **init: Any
) -> list[str]:
    listed = {name: {"shape": list(shape), "dtype": dtype} for name in ("v", "w")}
    spec = {
        "architecture": {"type": "tensors", "tensors": listed},
        "init": {"rules": [{"match": {}, **rule}], **init},
    }
    plan = make_plan(parse_spec(spec), platform=platform()).plan
    return [warning.message for warning in plan.warnings if warning.code == "SP210"]


def mapped(expression: str) -> dict[str, Any]:
    return {"type": "map", "expression": expression}


@pytest.mark.parametrize(
    ("initializer", "transforms", "told"),
    [
        (NORMAL, [LOG], "transforms: log makes 48% NaN of 2,000 values in 'v', 'w'"),
        (NORMAL, [SQRT], "transforms: sqrt makes 48% NaN of 2,000 values in 'v', 'w'"),
        (
            {"type": "zeros"},
            [{"type": "reciprocal"}],
            "transforms: reciprocal makes 100% infinite of 2,000 values in 'v', 'w'",
        ),
        (
            {"type": "normal", "std": 60},
            [EXP],
            "transforms: exp makes 8% infinite of 2,000 values in 'v', 'w'",
        ),
        (
            {"type": "normal", "std": 10},
            [EXP, {"type": "scale", "value": 1e30}],
            "transforms: scale makes 3% infinite of 2,000 values in 'v', 'w'",
        ),
        (
            {"type": "uniform", "a": -1, "b": 1},
            [{"type": "inverse_softplus"}],
            "transforms: inverse_softplus makes 51% NaN of 2,000 values in 'v', 'w'",
        ),
        (
            mapped("exp(3 * col)"),
            [],
            "initializer: map makes 40% infinite of 2,000 values in 'v', 'w'",
        ),
        (
            {"type": "sum", "initializers": [NORMAL, mapped("exp(3 * col)")]},
            [],
            "initializer: map makes 40% infinite of 2,000 values in 'v', 'w'",
        ),
        (
            mapped("19 * row + col - 10"),
            [LOG],
            "transforms: log makes 10 NaN and 1 infinite of 2,000 values in 'v', 'w'",
        ),
    ],
    ids=str,
)
def test_a_function_without_a_finite_value_is_warned_of(
    initializer: dict[str, Any], transforms: list[Any], told: str
) -> None:
    found = warnings({"initializer": initializer, "transforms": transforms})
    assert found == [f"init.rules.0.{told}"]


@pytest.mark.parametrize(
    ("initializer", "transforms"),
    [
        (NORMAL, [EXP]),
        ({"type": "uniform"}, [SQRT]),
        ({"type": "log_uniform", "a": 1e-3, "b": 0.1}, [LOG, EXP, {"type": "softplus"}]),
        (mapped("log(col + 1)"), []),
        (mapped("col"), [LOG, {"type": "set", "index": [":", 0], "value": 0}]),
        (mapped("col"), [LOG, {"type": "clamp", "min": -10}]),
        ({"type": "constant", "value": "-Infinity"}, [EXP]),
        ({"type": "constant", "value": "Infinity"}, [{"type": "scale", "value": 2}]),
        ({"type": "tril", "val": 0, "outside": "-Infinity"}, []),
    ],
    ids=str,
)
def test_finite_values_and_given_infinities_are_not(
    initializer: dict[str, Any], transforms: list[Any]
) -> None:
    assert warnings({"initializer": initializer, "transforms": transforms}) == []


def test_a_part_of_a_split_is_looked_at_too() -> None:
    parts = [{"size": 10}, {"size": 30, "transforms": [SQRT]}]
    (told,) = warnings({"initializer": NORMAL, "splits": {"parts": parts}})
    assert told.startswith("init.rules.0.transforms: sqrt makes ")


def test_an_infinity_is_one_of_the_tensors_own_dtype() -> None:
    rule = {"initializer": mapped("exp(2 * col)")}
    assert len(warnings(rule, dtype="float16")) == len(warnings(rule)) == 1
    assert warnings(rule, dtype="float64") == []
    assert warnings({"initializer": mapped("exp(col / 4)")}, dtype="float8_e4m3fn") == []


def test_both_ends_of_a_large_tensor_are_looked_at() -> None:
    assert warnings({"initializer": mapped("sqrt(99000000 - i)")}, shape=(10_000, 10_000))
    assert not warnings({"initializer": mapped("sqrt(100000000 - i)")}, shape=(10_000, 10_000))


def test_scripts_and_own_inits() -> None:
    rule = {"initializer": NORMAL, "transforms": [LOG]}
    assert len(warnings(rule, generator="torch", seed=1)) == 1
    linear = {"type": "Linear", "in_features": 3, "out_features": 2}
    own = {"match": {}, "initializer": {"type": "own"}, "transforms": [LOG]}
    spec = {"architecture": linear, "init": {"rules": [own]}}
    assert make_plan(parse_spec(spec)).plan.warnings[0].code == "SP210"
    assert not make_plan(parse_spec({"architecture": linear})).plan.warnings
