"""From a spec to a plan: which rule wins, and what it resolves to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.errors import SpecError
from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import (
    Add,
    FillRegion,
    Part,
    Program,
    Scale,
    SetElement,
    Split,
    ZeroRows,
)
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
    assert any("'e.weight' rule 1, 'o.weight' rule 0" in str(warning) for warning in found.warnings)
