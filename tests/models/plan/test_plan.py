"""Plans: one id for all spellings of a spec, and a record that they survive."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import rfc8785

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, metadata
from seedpoint.models.plan.program import Add, Constant, Program
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.plans import (
    LINEAR,
    faults,
    normal,
    plan,
    rule,
    sequential,
    tensor,
)


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
