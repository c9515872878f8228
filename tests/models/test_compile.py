"""From a spec to a plan: which rule wins, what it resolves to, and every fault's place."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import rfc8785

from models.compile import make_plan
from models.describe import layout, resource
from models.errors import SpecError
from models.generate import Evaluator
from models.plan import Plan, PlanTensor, metadata
from models.program import (
    Add,
    Constant,
    FillRegion,
    Normal,
    Part,
    Program,
    Scale,
    SetElement,
    Split,
    Uniform,
    ZeroRows,
    program_from_json,
    to_json,
)
from models.spec import parse_spec
from models.statistics.checkpoint import CheckpointStatistics

LINEAR = {"type": "Linear", "in_features": 4, "out_features": 6}


def plan(architecture: dict[str, Any], *rules: dict[str, Any], **more: Any) -> Plan:
    init = {"rules": list(rules), **more.pop("init", {})}
    return make_plan(parse_spec({"architecture": architecture, "init": init, **more})).plan


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequential", "layers": list(layers)}


def rule(match: dict[str, Any], initializer: Any, **more: Any) -> dict[str, Any]:
    return {"match": match, "initializer": initializer, **more}


def normal(std: float | str = 1.0) -> dict[str, Any]:
    return {"type": "normal", "std": std}


def tensor(found: Plan, name: str) -> PlanTensor:
    return next(t for t in found.tensors if t.name == name)


def faults(architecture: dict[str, Any], *rules: dict[str, Any], **more: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        plan(architecture, *rules, **more)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_first_rule_whose_every_criterion_holds_wins() -> None:
    found = plan(
        sequential(LINEAR, LINEAR),
        rule({"module": "Linear", "parameter": "weight", "name": "1.*"}, normal(3)),
        rule({"module": ["Conv2d", "Linear"], "ndim": 2}, normal(2)),
        rule({"kind": "parameter"}, {"type": "zeros"}),
    )
    assert {t.name: t.rule for t in found.tensors} == {
        "0.weight": 1,
        "0.bias": 2,
        "1.weight": 0,
        "1.bias": 2,
    }
    assert tensor(found, "1.weight").program.source == Normal.of(0, 3)


def test_a_module_criterion_takes_subclasses() -> None:
    found = plan(
        sequential({"type": "LSTM", "input_size": 2, "hidden_size": 3}),
        rule({"module": "RNNBase"}, normal()),
    )
    assert {t.rule for t in found.tensors} == {0}


def test_captures_and_constants_are_names_in_expressions() -> None:
    found = plan(
        {"type": "Module", "children": {"h": {"type": "Repeat", "count": 3, "layer": LINEAR}}},
        rule({"name": "h.{layer}.weight"}, normal("0.02 / sqrt(2 * n) * (layer + 1)")),
        init={"constants": {"n": 3}},
    )
    for layer in range(3):
        source = tensor(found, f"h.{layer}.weight").program.source
        assert source == Normal.of(0, 0.02 / math.sqrt(2 * 3) * (layer + 1))


def test_fans_can_be_overridden_and_are_told() -> None:
    found = plan(
        sequential(
            {"type": "ConvTranspose2d", "in_channels": 8, "out_channels": 4, "kernel_size": 3}
        ),
        rule(
            {"ndim": 4},
            normal("1 / sqrt(fan_in)"),
            fan={"in_axes": [0], "out_axes": [1]},
        ),
    )
    weight = tensor(found, "0.weight")
    assert (weight.fan_in, weight.fan_out) == (8 * 9, 4 * 9)
    assert weight.program.source == Normal.of(0, 1 / math.sqrt(72))


def test_unmatched_tensors_keep_their_own_init() -> None:
    found = plan(sequential(LINEAR), rule({"parameter": "bias"}, {"type": "ones"}))
    bound = 1 / math.sqrt(4)
    source = tensor(found, "0.weight").program.source
    assert isinstance(source, Uniform)
    assert (source.low, source.high) == pytest.approx((-bound, bound), rel=1e-15)
    assert tensor(found, "0.weight").rule is None


def test_own_can_be_asked_for_and_transformed() -> None:
    found = plan(
        sequential(
            {"type": "Embedding", "num_embeddings": 5, "embedding_dim": 2, "padding_idx": 1}
        ),
        rule({}, {"type": "own"}, transforms=[{"type": "add", "value": 1}]),
    )
    program = tensor(found, "0.weight").program
    assert program.source == Normal.of(0, 1)
    assert program.transforms[-1] == Add(1.0)
    assert isinstance(program.transforms[0], ZeroRows | FillRegion)


def test_of_a_list_the_last_draw_wins_under_philox() -> None:
    found = plan(sequential(LINEAR), rule({"ndim": 2}, [normal(), {"type": "uniform"}]))
    assert tensor(found, "0.weight").program == Program(Uniform.of(0, 1))


def test_splits_give_each_part_its_own_fans_and_stream() -> None:
    found = plan(
        {"type": "Module", "children": {"h": {"type": "Repeat", "count": 2, "layer": LINEAR}}},
        rule(
            {"name": "h.{layer}.weight"},
            {"type": "xavier_normal"},
            splits={"parts": [{"size": 2, "as": "q.{layer}.weight"}, {"size": 4}]},
        ),
    )
    split = tensor(found, "h.1.weight").program.source
    first = Normal.of(0, math.sqrt(2 / (4 + 2)), stream="q.1.weight")
    second = Normal.of(0, math.sqrt(2 / (4 + 4)))
    assert split == Split(0, (Part(2, Program(first)), Part(4, Program(second))))


def test_integers_are_filled_in_where_a_stream_name_has_them() -> None:
    found = plan(
        {"type": "Module", "children": {"h": {"type": "Repeat", "count": 2, "layer": LINEAR}}},
        rule(
            {"name": "h.{layer}.weight"},
            normal(),
            splits={"parts": [{"size": 6, "as": "{{{layer}}}.{n}"}]},
        ),
        init={"constants": {"n": 12.0}},
    )
    split = tensor(found, "h.1.weight").program.source
    assert split == Split(0, (Part(6, Program(Normal.of(0, 1, stream="{1}.12"))),))


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63) - 2**11])
def test_an_integer_tensor_takes_only_its_own_values(value: float) -> None:
    counter = sequential({"type": "Custom", "buffers": {"n": {"shape": [], "dtype": "int64"}}})
    one = {"type": "set", "index": [], "value": value}
    constant = rule({}, {"type": "constant", "val": value})
    assert list(faults(counter, constant)) == ["init.rules.0.initializer.val"]
    zeros = rule({}, {"type": "zeros"}, transforms=[one])
    assert list(faults(counter, zeros)) == ["init.rules.0.transforms.0.value"]


PAST_FLOAT32: list[tuple[dict[str, Any], str]] = [
    ({"type": "scale", "value": 1e39}, "value"),
    ({"type": "scale", "value": "1e20 * 1e20"}, "value"),
    ({"type": "add", "value": -1e39}, "value"),
    ({"type": "clamp", "min": 1e39}, "min"),
    ({"type": "clamp", "max": -1e39}, "max"),
    ({"type": "hard_threshold", "value": 1e39}, "value"),
    ({"type": "set", "index": [0], "value": 1e39}, "value"),
]


def transformed(
    dtype: str, initializer: dict[str, Any], change: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    listed = {"type": "tensors", "tensors": [{"name": "a", "shape": [2], "dtype": dtype}]}
    return listed, rule({}, initializer, transforms=[{"type": "zero_rows", "rows": [0]}, change])


@pytest.mark.parametrize(("change", "argument"), PAST_FLOAT32)
@pytest.mark.parametrize(
    ("dtype", "initializer"),
    [
        ("float32", {"type": "ones"}),
        ("bfloat16", normal()),
        ("float8_e5m2", normal()),
        ("float64", normal()),
    ],
)
def test_a_constant_of_a_transform_that_float32_cannot_hold_is_a_fault(
    dtype: str, initializer: dict[str, Any], change: dict[str, Any], argument: str
) -> None:
    found = faults(*transformed(dtype, initializer, change))
    assert list(found) == [f"init.rules.0.transforms.1.{argument}"]


@pytest.mark.parametrize("change", [change for change, _ in PAST_FLOAT32])
def test_a_float64_tensor_that_is_not_drawn_takes_larger_constants(change: dict[str, Any]) -> None:
    plan(*transformed("float64", {"type": "ones"}, change))


def test_the_largest_float32_in_its_usual_digits_is_taken() -> None:
    """3.4028235e38 is more than it, and rounds to it."""
    change = {"type": "clamp", "min": -3.4028235e38, "max": 3.4028235e38}
    plan(*transformed("float32", normal(), change))


def own_scaled(layer: dict[str, Any], parameter: str, generator: str) -> Plan:
    """A layer of float64 whose own init is scaled by what float32 cannot hold."""
    scaled = rule(
        {"parameter": parameter}, {"type": "own"}, transforms=[{"type": "scale", "value": 1e39}]
    )
    init = {"rules": [scaled], "generator": generator}
    spec = parse_spec({"architecture": layer, "init": init, "dtype": "float64"})
    return make_plan(spec, platform={}).plan


@pytest.mark.parametrize(
    ("layer", "parameter", "generator"),
    [
        (LINEAR, "weight", "philox-v1"),
        (LINEAR, "weight", "torch"),
        ({"type": "LayerNorm", "normalized_shape": 3}, "weight", "torch"),
        ({"type": "LayerNorm", "normalized_shape": 3}, "weight", "numpy"),
    ],
)
def test_an_own_init_in_float32_takes_no_larger_constant(
    layer: dict[str, Any], parameter: str, generator: str
) -> None:
    with pytest.raises(SpecError) as caught:
        own_scaled(layer, parameter, generator)
    (fault,) = caught.value.faults
    assert fault.path == "init.rules.0.transforms.0.value"


def test_an_own_init_that_is_exact_takes_a_larger_constant() -> None:
    found = own_scaled({"type": "LayerNorm", "normalized_shape": 3}, "weight", "philox-v1")
    assert tensor(found, "weight").program.transforms == (Scale(1e39),)


def test_zero_rows_and_set_take_negative_indices() -> None:
    found = plan(
        sequential(LINEAR),
        rule(
            {"ndim": 2},
            normal(),
            transforms=[
                {"type": "zero_rows", "rows": [-1, 0]},
                {"type": "set", "index": [0, -1], "value": "numel"},
            ],
        ),
    )
    assert tensor(found, "0.weight").program.transforms == (
        ZeroRows((0, 5)),
        SetElement((0, 3), 24.0),
    )


def test_dtypes_by_rule_touch_floating_tensors_only() -> None:
    found = plan(
        sequential(LINEAR, {"type": "BatchNorm1d", "num_features": 6}),
        dtype={
            "default": "bfloat16",
            "rules": [{"match": {"module": "BatchNorm1d"}, "dtype": "float32"}],
        },
    )
    assert {t.name: t.dtype.code for t in found.tensors} == {
        "0.weight": "BF16",
        "0.bias": "BF16",
        "1.weight": "F32",
        "1.bias": "F32",
        "1.running_mean": "F32",
        "1.running_var": "F32",
        "1.num_batches_tracked": "I64",
    }


def test_aliases_that_would_win_different_rules_are_warned_of() -> None:
    tied = {
        "type": "Module",
        "children": {
            "e": {"type": "Embedding", "num_embeddings": 6, "embedding_dim": 4},
            "o": {**LINEAR, "bias": False, "tie": {"weight": "e.weight"}},
        },
    }
    found = plan(
        tied, rule({"module": "Linear"}, normal(2)), rule({"module": "Embedding"}, normal(3))
    )
    (weight,) = found.tensors
    assert (weight.name, weight.aliases, weight.rule) == ("e.weight", ("o.weight",), 0)
    assert any("'e.weight' rule 1, 'o.weight' rule 0" in warning for warning in found.warnings)


def test_a_rule_for_a_checkpoint_without_tensors_is_told_that_there_are_none() -> None:
    told = faults({"type": "ReLU"}, rule({}, {"type": "zeros"}))
    assert told == {"init.rules.0.match": "matches no tensor; the checkpoint has no tensors"}


def test_a_rule_that_never_wins_is_warned_of() -> None:
    found = plan(sequential(LINEAR), rule({}, normal()), rule({"ndim": 2}, normal(2)))
    assert found.warnings == ("init.rules.1 has no effect: earlier rules win its tensors",)


def test_an_optional_rule_may_match_nothing() -> None:
    assert plan(sequential(LINEAR), rule({"name": "x"}, normal(), optional=True)).tensors


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
    ("init.rules.0.initializer.type", [rule({}, {"type": "gaussian"})], {}),
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
    ("init.rules.0.transforms.0.type", [rule({}, normal(), transforms=[{"type": "sqrt"}])], {}),
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


def test_the_plan_survives_its_record() -> None:
    found = plan(
        sequential(LINEAR, {"type": "BatchNorm1d", "num_features": 6}),
        rule({"ndim": 2}, normal(), splits={"parts": [{"size": 2, "as": "q"}, {"size": 4}]}),
        init={"seed": 2**64 - 1},
    )
    again = Plan.from_record(found.record)
    assert again.record == found.record
    assert (again.canonical, again.id) == (found.canonical, found.id)
    assert again.tensors == found.tensors
    assert Plan.from_json(json.loads(found.canonical)).id == found.id
    assert json.loads(found.canonical)["seed"] == str(2**64 - 1)


@pytest.mark.parametrize("value", [2.0**53, -1e17, 1e20, 1e21, 1e300, 5e-324, -0.0])
def test_a_recorded_number_is_the_same_float(value: float) -> None:
    document = json.loads(json.dumps(to_json(Program(Constant(value), (Add(value),)))))
    for form in (document, json.loads(rfc8785.dumps(document))):
        read = program_from_json(form)
        assert repr(read) == repr(Program(Constant(value), (Add(value),)))


def test_the_id_is_one_for_all_spellings_of_a_spec() -> None:
    plain = plan({"type": "Module", "children": {"a": LINEAR}}, init={"seed": 3})
    spelled = make_plan(
        parse_spec(
            {
                "dtype": {"default": "float32", "rules": []},
                "ties": "once",
                "init": {"generator": "philox-v1", "rules": [], "seed": "3", "unmatched": "own"},
                "architecture": {
                    "children": [
                        {
                            "name": "a",
                            "out_features": 6,
                            "type": "Linear",
                            "bias": True,
                            "in_features": 4,
                        }
                    ],
                    "type": "Module",
                },
                "max_shard_size": "50GB",
            }
        )
    ).plan
    assert plain.id == spelled.id


def test_the_normalized_spec_makes_the_same_plan() -> None:
    found = plan(
        sequential({**LINEAR, "name": "a"}, {"type": "ReLU"}),
        rule(
            {"module": "Linear", "ndim": 2},
            [normal("sqrt(2)")],
            transforms=[{"type": "scale", "value": 2}],
        ),
        rule({"ndim": 1}, {"type": "constant", "val": 1e300 / 1e290}),
        dtype={"default": "bfloat16"},
        init={"seed": 5, "constants": {"k": 2}},
    )
    assert make_plan(parse_spec(found.spec)).plan.canonical == found.canonical


def test_equal_programs_are_written_once() -> None:
    found = plan(sequential(*[LINEAR] * 50))
    document = json.loads(found.canonical)
    assert len(document["tensors"]) == 100
    assert len(document["programs"]) <= 2


def test_constants_of_any_kind_survive_json() -> None:
    for value in (0.0, -0.0, 2**62, True, 1 + 2j, float("inf"), 1e-45):
        program = Program(Constant(value))
        again = program_from_json(json.loads(json.dumps(to_json(program))))
        assert repr(again) == repr(program)


def test_the_header_carries_the_plan_in_two_parts() -> None:
    header = {"spec": {"dtype": "F32", "shape": [1]}, "stream": {"dtype": "F32", "shape": [1]}}
    fill = rule({}, normal(), splits={"parts": [{"size": 1, "as": ',"stream":"'}]})
    found = plan({"type": "tensors", "header": header}, fill)
    every, first = metadata(found)
    document = json.loads(first["seedpoint.plan"]) | {"spec": json.loads(first["seedpoint.spec"])}
    assert document == json.loads(found.canonical)
    assert every["seedpoint.id"] == Plan.from_json(document).id


def test_no_tensor_may_have_the_name_that_the_file_format_reserves() -> None:
    custom = {"type": "Custom", "parameters": {"__metadata__": {"shape": [2]}}}
    found = faults(custom, rule({}, {"type": "zeros"}))
    assert found == {"architecture": "'__metadata__' is reserved by the safetensors format"}
    assert plan(sequential(custom), rule({}, {"type": "zeros"}))


def test_tensors_that_differ_in_name_alone_share_one_program() -> None:
    found = plan(sequential(LINEAR, LINEAR), rule({"parameter": "weight"}, normal()))
    assert tensor(found, "0.weight").program is tensor(found, "1.weight").program
    assert tensor(found, "0.bias").program is tensor(found, "1.bias").program


def test_programs_that_are_equal_to_python_alone_are_apart() -> None:
    flags = {"type": "Custom", "buffers": {"a": {"shape": [1], "dtype": "bool"}}}
    counts = {"type": "Custom", "buffers": {"a": {"shape": [1], "dtype": "int64"}}}
    ones = rule({}, {"type": "values", "values": [1]})
    document = plan(sequential(flags, counts), ones).document
    assert [entry["program"] for entry in document["tensors"]] == [0, 1]


def test_a_plan_under_another_seed_is_what_it_would_be_alone() -> None:
    spec = {"architecture": LINEAR, "init": {"rules": [rule({}, normal())]}}
    planned = make_plan(parse_spec(spec)).plan
    spec["init"] |= {"seed": 7}
    other = parse_spec(spec)
    expected = make_plan(other).plan
    found = planned.reseeded(7, expected.spec)
    assert (found.canonical, found.record, found.id) == (
        expected.canonical,
        expected.record,
        expected.id,
    )
    assert found.canonical == rfc8785.dumps(found.document)


def test_declared_dtypes_hold_unless_a_dtype_is_given() -> None:
    listed = {
        "type": "tensors",
        "tensors": [
            {"name": "a", "shape": [2], "dtype": "bfloat16"},
            {"name": "b", "shape": [2], "dtype": "float64"},
        ],
    }
    fill = rule({}, normal())
    assert [t.dtype.code for t in plan(listed, fill).tensors] == ["BF16", "F64"]
    assert [t.dtype.code for t in plan(listed, fill, dtype="float32").tensors] == ["F32", "F32"]
    assert plan(listed, fill).id != plan(listed, fill, dtype="float32").id
    by_rule = {"rules": [{"match": {"name": "b"}, "dtype": "float16"}]}
    assert [t.dtype.code for t in plan(listed, fill, dtype=by_rule).tensors] == ["BF16", "F16"]


def test_one_dtype_is_one_id_however_it_is_spelled() -> None:
    spellings = ["bfloat16", {"default": "bfloat16"}, {"default": "bfloat16", "rules": []}]
    assert len({plan(sequential(LINEAR), dtype=spelling).id for spelling in spellings}) == 1
    declared = [plan(sequential(LINEAR), dtype=name).id for name in ("declared", "float32")]
    assert declared == [plan(sequential(LINEAR)).id] * 2


@pytest.mark.parametrize(
    ("dtype", "initializer"),
    [
        ("float32", {"type": "constant", "val": -0.0}),
        ("float32", {"type": "values", "values": [-0.0, 1.0]}),
        ("float32", {"type": "constant", "val": 1e17}),
        ("float64", {"type": "constant", "val": 1e20}),
        ("float32", {"type": "values", "values": [-3.4028234663852886e38, 10**38]}),
        ("float64", {"type": "values", "values": [10**308, 2**64]}),
        ("int64", {"type": "constant", "val": 2**53 + 1}),
        ("int64", {"type": "constant", "val": 2**63 - 1}),
        ("int64", {"type": "values", "values": [2**53 + 1, -(2**63)]}),
        ("uint64", {"type": "values", "values": [2**64 - 1, 0]}),
    ],
)
def test_a_normalized_spec_plans_the_same_for_numbers_that_json_loses(
    dtype: str, initializer: dict[str, Any]
) -> None:
    listed = {"type": "tensors", "tensors": [{"name": "a", "shape": [2], "dtype": dtype}]}
    found = plan(listed, rule({}, initializer))
    assert make_plan(parse_spec(found.spec)).plan.canonical == found.canonical
    again = Plan.from_record(found.record)
    assert make_plan(parse_spec(again.spec)).plan.id == found.id
    assert Plan.from_json(json.loads(found.canonical)).id == found.id


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "PReLU", "init": -0.0},
        {"type": "BatchNorm1d", "num_features": 2, "momentum": -0.0, "eps": -0.0},
    ],
)
def test_an_argument_of_negative_zero_survives_the_normalized_spec(layer: dict[str, Any]) -> None:
    found = plan(sequential(layer))
    again = make_plan(parse_spec(found.spec)).plan
    assert again.canonical == found.canonical
    (read,) = parse_spec(found.spec).architecture.layers  # type: ignore[union-attr]
    (given,) = parse_spec({"architecture": sequential(layer)}).architecture.layers  # type: ignore[union-attr]
    assert repr(read) == repr(given) and "-0.0" in repr(read)


def test_only_negative_zero_is_a_number_as_a_string() -> None:
    for text in ("0.0", "-0", "-0.00", "1.5"):
        assert list(faults({"type": "PReLU", "init": text})) == ["architecture.init"]


def test_an_element_set_in_a_drawn_float64_tensor_is_rounded_to_float32() -> None:
    """STREAM, After the draw: transforms are float32 ones, and float64 widens their values."""
    listed = {"type": "tensors", "tensors": [{"name": "a", "shape": [2], "dtype": "float64"}]}
    change = {"type": "set", "index": [0], "value": 0.1}
    for initializer, expected in ((normal(), np.float32(0.1)), ({"type": "zeros"}, 0.1)):
        made = make_plan(
            parse_spec(
                {
                    "architecture": listed,
                    "init": {"rules": [rule({}, initializer, transforms=[change])]},
                }
            )
        )
        (file,) = layout(made.plan).files.values()
        out = np.empty(16, np.uint8)
        start = file.size_bytes - len(out)
        Evaluator(made.plan, made.blobs).read(file, start, file.size_bytes, out)
        assert out.view(np.float64)[0] == float(expected)


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
        document = resource(found, layout(found))
        json.dumps(document, allow_nan=False)
        gathered = CheckpointStatistics(found)
        for index, tensor in enumerate(found.tensors):
            out = np.empty(tensor.nbytes, np.uint8)
            observer = gathered.accumulators[tensor.name]
            Evaluator(found).fill(index, 0, tensor.numel, out, observer)
        json.dumps(gathered.document(), allow_nan=False)
