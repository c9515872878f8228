"""Specs that cannot be planned: every fault at its place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from seedpoint.models.draws import Normal
from seedpoint.models.errors import SpecError
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.program import Constant, Program, SetElement
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.models.statistics.describe import resource
from tests.support.plans import (
    LINEAR,
    faults,
    normal,
    plan,
    rule,
    sequential,
)

# --- faults ------------------------------------------------------------------------------


BAD: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("init.rules.0.match", [rule({"name": "x.*"}, normal())], {}),
    ("init.rules.0.match.name", [rule({"name": "x.["}, normal())], {}),
    ("init.rules.0.initializer", [rule({"parameter": "bias"}, {"type": "xavier_uniform"})], {}),
    ("init.rules.0.initializer", [rule({"parameter": "bias"}, {"type": "dirac"})], {}),
    ("init.rules.0.initializer.std", [rule({}, normal("1 / 0"))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal("1 / (fan_in - 4)"))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal("nope"))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal("exec('x')"))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal("(" * 9000))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal(float("nan")))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal(float("inf")))], {}),
    ("init.rules.0.initializer.std", [rule({}, normal(-1))], {}),
    ("init.rules.0.initializer.std", [rule({}, {"type": "normal", "std": None})], {}),
    ("init.rules.0.initializer.1.std", [rule({}, [normal(), normal(-1)])], {}),
    ("init.rules.0.initializer.type", [rule({}, {"type": "gamma"})], {}),
    ("init.rules.0.initializer.sd", [rule({}, {"type": "normal", "sd": 1})], {}),
    ("init.rules.0.initializer", [rule({}, [])], {}),
    ("init.rules.0.initializer", [{"match": {}}], {}),
    ("init.rules.0.initializer", [rule({}, [normal(), {"type": "own"}])], {}),
    (
        "init.rules.0.initializer.gain",
        [rule({"ndim": 2}, {"type": "xavier_normal", "gain": "x"})],
        {},
    ),
    (
        "init.rules.0.initializer.gain.nonlinearity",
        [rule({"ndim": 2}, {"type": "xavier_normal", "gain": {"nonlinearity": "gelu"}})],
        {},
    ),
    (
        "init.rules.0.transforms.0",
        [rule({"ndim": 2}, normal(), transforms=[{"type": "zero_rows", "rows": [6]}])],
        {},
    ),
    (
        "init.rules.0.transforms.0",
        [rule({"ndim": 2}, normal(), transforms=[{"type": "set", "index": [0], "value": 1}])],
        {},
    ),
    (
        "init.rules.0.transforms.1.value",
        [
            rule(
                {},
                normal(),
                transforms=[{"type": "scale", "value": 1}, {"type": "add", "value": "1/0"}],
            )
        ],
        {},
    ),
    ("init.rules.0.transforms.0.type", [rule({}, normal(), transforms=[{"type": "power"}])], {}),
    (
        "init.rules.0.splits.parts",
        [rule({"ndim": 2}, normal(), splits={"parts": [{"size": 5}]})],
        {},
    ),
    (
        "init.rules.0.splits.axis",
        [rule({"ndim": 2}, normal(), splits={"axis": 2, "parts": [{"size": 6}]})],
        {},
    ),
    (
        "init.rules.0.splits.parts.0.as",
        [rule({"ndim": 2}, normal(), splits={"parts": [{"size": 6, "as": "{x}"}]})],
        {},
    ),
    *(
        (
            "init.rules.0.splits.parts.0.as",
            [rule({"ndim": 2}, normal(), splits={"parts": [{"size": 6, "as": stream}]})],
            {"init": {"constants": {"c": 4, "half": 0.5}}},
        )
        for stream in (
            *("", "\ud800", "{c", "c}", "{}", "{0}", "{half}", "{c!r}", "{c:>1000000000000}"),
            *("{c.__class__}", "{c.upper}", "{c[0]}", "{c:{c}}"),
        )
    ),
    (
        "init.rules.0.initializer.val",
        [rule({"ndim": 2}, {"type": "constant", "val": 1e39})],
        {"dtype": "float16"},
    ),
    (
        "init.rules.0.transforms.0.value",
        [
            rule(
                {"ndim": 2},
                normal(),
                transforms=[{"type": "set", "index": [0, 0], "value": 1e39}],
            )
        ],
        {},
    ),
    ("init.rules.0.fan", [rule({"ndim": 2}, normal(), fan={"in_axes": [0], "out_axes": [2]})], {}),
    ("init.seed", [], {"init": {"seed": -1}}),
    ("init.seed", [], {"init": {"seed": 2**64}}),
    ("init.seed", [], {"init": {"seed": True}}),
    ("init.seed", [], {"init": {"seed": 1.5}}),
    ("init.seed", [], {"init": {"seed": 2**32, "generator": "numpy"}}),
    ("init.generator", [], {"init": {"generator": "mt19937"}}),
    ("init.constants.fan_in", [], {"init": {"constants": {"fan_in": 1}}}),
    ("init.unmatched", [], {"init": {"unmatched": "error"}}),
    ("dtype", [], {"dtype": "float12"}),
    ("dtype.default", [], {"dtype": {"default": "int8"}}),
    (
        "dtype.rules.0.match",
        [],
        {"dtype": {"rules": [{"match": {"name": "x"}, "dtype": "float32"}]}},
    ),
    ("max_shard_size", [], {"max_shard_size": "lots"}),
    ("colour", [], {"colour": "red"}),
]


@pytest.mark.parametrize(("path", "rules", "more"), BAD, ids=lambda value: str(value)[:70])
def test_a_fault_names_its_place(
    path: str, rules: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    found = faults(sequential(LINEAR), *rules, **more)
    assert list(found) == [path]
    assert found[path]


def test_every_fault_is_told_at_once() -> None:
    found = faults(
        sequential(LINEAR, LINEAR),
        rule({"name": "0.bias"}, {"type": "eye"}),
        rule({"name": "1.weight"}, {"type": "dirac"}),
        rule({"name": "nothing"}, normal()),
    )
    assert list(found) == [
        "init.rules.0.initializer",
        "init.rules.1.initializer",
        "init.rules.2.match",
    ]


def test_unmatched_error_lists_what_has_no_rule_and_what_rules_there_are() -> None:
    found = faults(
        sequential(LINEAR),
        rule({"parameter": "weight"}, normal()),
        init={"unmatched": "error"},
    )
    message = found["init.unmatched"]
    assert "'0.bias'" in message and "weight" in message


def test_a_custom_tensor_without_a_rule_is_an_error() -> None:
    custom = {"type": "Custom", "parameters": {"weight": {"shape": [5, 3]}}}
    found = faults(sequential(custom))
    assert list(found) == ["architecture.layers.0"]
    assert "'0.weight'" in found["architecture.layers.0"]


def test_a_number_that_torch_cannot_put_into_a_parameter_is_a_fault() -> None:
    found = faults(sequential(LINEAR, {"type": "PReLU", "init": 1e300}))
    assert list(found) == ["architecture.layers.1"]


# --- faults of names and numbers ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("for", "a keyword"),
        ("None", "a keyword"),
        ("\ufb01", "read '\ufb01' as 'fi'"),
        ("fan_in", "cannot name a constant"),
        ("two words", "cannot name a constant"),
        ("sqrt", "a function of expressions"),
    ],
)
def test_a_constant_that_no_expression_could_name_is_a_fault(name: str, reason: str) -> None:
    ((path, message),) = faults(sequential(LINEAR), init={"constants": {name: 1}}).items()
    assert path == f"init.constants.{name}"
    assert reason in message


def test_a_constant_may_have_any_letters_that_expressions_keep() -> None:
    found = plan(
        sequential(LINEAR), rule({}, normal("größe / 2")), init={"constants": {"größe": 1}}
    )
    assert found.tensors[0].program.source == Normal.of(0, 0.5)


def test_integers_are_exact_of_any_size() -> None:
    listed = {"type": "tensors", "tensors": [{"name": "a", "shape": [2], "dtype": "int64"}]}
    change = {"type": "set", "index": [0], "value": 2**53 + 1}
    found = plan(listed, rule({}, {"type": "constant", "val": 2**63 - 1}, transforms=[change]))
    program = found.tensors[0].program
    assert program == Program(Constant(2**63 - 1), (SetElement((0,), 2**53 + 1),))


def test_what_numpy_cannot_draw_is_a_fault_of_the_plan() -> None:
    fill = rule({"ndim": 2}, {"type": "trunc_normal"})
    spec = parse_spec({"architecture": LINEAR, "init": {"generator": "numpy", "rules": [fill]}})
    with pytest.raises(SpecError) as caught:
        make_plan(spec, platform={})
    assert [fault.path for fault in caught.value.faults] == ["init.rules.0.initializer"]


def test_a_sequential_generator_needs_a_platform() -> None:
    spec = parse_spec({"architecture": LINEAR, "init": {"generator": "torch"}})
    with pytest.raises(ValueError, match="needs to know the platform"):
        make_plan(spec)


def test_a_name_that_the_format_reserves_is_a_fault() -> None:
    custom = {"type": "Custom", "parameters": {"__metadata__": {"shape": [2]}}}
    assert list(faults(custom, rule({}, normal()))) == ["architecture"]


def test_a_capture_may_not_take_a_name_that_has_a_meaning() -> None:
    shadowing = rule({"name": "{fan_in}.weight"}, normal())
    assert list(faults(sequential(LINEAR), shadowing)) == ["init.rules.0.match.name"]


def test_an_alias_without_a_rule_is_no_reason_to_warn() -> None:
    shared = sequential(LINEAR, {"type": "Ref", "ref": "0"})
    assert plan(shared, rule({"name": "0.weight"}, normal())).warnings == ()


@pytest.mark.parametrize(
    "initializer",
    [
        {"type": "trunc_normal", "std": 1e-320},
        {"type": "trunc_normal", "a": 0, "b": 1e-45},
        {"type": "trunc_normal", "std": 3.4e38, "a": -3e38, "b": 3e38},
        {"type": "variance_scaling", "scale": 1e-320},
        {"type": "orthogonal", "gain": -1e308},
        {"type": "xavier_uniform", "gain": 1e38},
    ],
)
def test_numbers_at_the_ends_of_their_range_are_described_or_refused(
    initializer: dict[str, Any],
) -> None:
    clamp = {"type": "clamp", "min": -1, "max": 1}
    for transforms in ([], [clamp]):
        try:
            found = plan(LINEAR, rule({"ndim": 2}, initializer, transforms=transforms))
        except SpecError:
            continue
        document = resource(found)
        json.dumps(document, allow_nan=False)
        gathered = CheckpointStatistics(found)
        for index, tensor in enumerate(found.tensors):
            out = np.empty(tensor.nbytes, np.uint8)
            observer = gathered.observers[tensor.name]
            Evaluator(found).fill(index, 0, tensor.numel, out, observer)
        json.dumps(gathered.document(), allow_nan=False)
