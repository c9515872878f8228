"""Initializers, against PyTorch's own and JAX's published formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import nn

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.errors import SpecError
from seedpoint.models.initializers import (
    CATALOGUE,
    ArgumentError,
    InitializerSpec,
    Target,
    catalogue,
)
from seedpoint.models.initializers.fans import FanSpec, Surroundings, default_fans
from seedpoint.models.plan.program import Source
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec

ADAPTER: TypeAdapter[Any] = TypeAdapter(InitializerSpec)


def source(
    initializer: dict[str, Any], shape: tuple[int, ...], dtype: str = "float32", **scope: float
) -> Source:
    fans = default_fans(shape)
    return ADAPTER.validate_python(initializer).source(Target(shape, BY_NAME[dtype], fans, scope))


def issued(initializer: dict[str, Any], shape: tuple[int, ...]) -> torch.Tensor:
    """The tensor that generator `torch` gives for one tensor without a module."""
    spec = parse_spec(
        {
            "architecture": {
                "type": "tensors",
                "tensors": [{"name": "w", "shape": list(shape), "dtype": "float32"}],
            },
            "init": {
                "seed": 7,
                "generator": "torch",
                "rules": [{"match": {}, "initializer": initializer}],
            },
        }
    )
    return materialize(spec, make_plan(spec, platform=platform()))["w"]


Case = tuple[dict[str, Any], tuple[int, ...], Callable[[torch.Tensor], object]]
CASES: list[Case] = [
    ({"type": "uniform", "a": -1, "b": 2}, (3, 5), lambda w: nn.init.uniform_(w, -1, 2)),
    ({"type": "normal", "mean": 1, "std": 2}, (30, 5), lambda w: nn.init.normal_(w, 1, 2)),
    ({"type": "trunc_normal", "std": 0.5}, (30, 5), lambda w: nn.init.trunc_normal_(w, std=0.5)),
    ({"type": "constant", "val": 0.3}, (4,), lambda w: nn.init.constant_(w, 0.3)),
    ({"type": "ones"}, (4,), nn.init.ones_),
    ({"type": "zeros"}, (4,), nn.init.zeros_),
    ({"type": "eye"}, (4, 6), nn.init.eye_),
    ({"type": "dirac"}, (6, 4, 3), nn.init.dirac_),
    ({"type": "dirac", "groups": 2}, (6, 2, 3, 4), lambda w: nn.init.dirac_(w, 2)),
    ({"type": "dirac", "groups": 3}, (6, 4, 2, 3, 5), lambda w: nn.init.dirac_(w, 3)),
    ({"type": "xavier_uniform"}, (6, 7), nn.init.xavier_uniform_),
    (
        {"type": "xavier_uniform", "gain": {"nonlinearity": "tanh"}},
        (6, 7, 3),
        lambda w: nn.init.xavier_uniform_(w, nn.init.calculate_gain("tanh")),
    ),
    (
        {"type": "xavier_normal", "gain": 0.7},
        (6, 7, 3, 3),
        lambda w: nn.init.xavier_normal_(w, 0.7),
    ),
    ({"type": "kaiming_uniform"}, (6, 7), nn.init.kaiming_uniform_),
    (
        {"type": "kaiming_uniform", "a": "sqrt(5)", "mode": "fan_out"},
        (6, 7, 3),
        lambda w: nn.init.kaiming_uniform_(w, math.sqrt(5), "fan_out"),
    ),
    (
        {"type": "kaiming_normal", "nonlinearity": "relu"},
        (6, 7, 3, 3),
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    ),
    ({"type": "orthogonal", "gain": 2}, (6, 7), lambda w: nn.init.orthogonal_(w, 2)),
    ({"type": "sparse", "sparsity": 0.3}, (6, 7), lambda w: nn.init.sparse_(w, 0.3)),
]


@pytest.mark.parametrize(("initializer", "shape", "fill"), CASES)
def test_generator_torch_gives_the_bits_of_torch(
    initializer: dict[str, Any], shape: tuple[int, ...], fill: Callable[[torch.Tensor], object]
) -> None:
    torch.manual_seed(7)
    expected = torch.empty(shape)
    fill(expected)
    assert torch.equal(issued(initializer, shape).view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_list_that_ends_in_given_values_draws_as_a_script_does(dtype: str) -> None:
    tensors = [{"name": name, "shape": [6, 40]} for name in ("a", "b")]
    given = {"match": {"name": "a"}, "initializer": [{"type": "normal"}, {"type": "zeros"}]}
    drawn = {"match": {"name": "b"}, "initializer": {"type": "normal"}}
    spec = parse_spec(
        {
            "architecture": {"type": "tensors", "tensors": tensors},
            "init": {"generator": "torch", "rules": [given, drawn]},
            "dtype": dtype,
        }
    )
    found = materialize(spec, make_plan(spec, platform=platform()))
    torch.manual_seed(0)
    torch.empty(6, 40).normal_()
    assert torch.equal(found["b"], torch.empty(6, 40).normal_().to(getattr(torch, dtype)))


def test_each_of_a_list_of_initializers_draws_all_parts_before_the_next() -> None:
    rule = {
        "initializer": [{"type": "uniform"}, {"type": "normal"}],
        "splits": {"parts": [{"size": 15}, {"size": 15}, {"size": 10}]},
    }
    listed = {"type": "tensors", "tensors": [{"name": "w", "shape": [40, 3], "dtype": "float32"}]}
    init = {"generator": "torch", "seed": 5, "rules": [rule]}
    spec = parse_spec({"architecture": listed, "init": init})
    found = materialize(spec, make_plan(spec, platform=platform()))
    torch.manual_seed(5)
    expected = torch.empty(40, 3)
    for draw in (torch.Tensor.uniform_, torch.Tensor.normal_):
        for part in expected.split([15, 15, 10]):
            draw(part)
    assert torch.equal(found["w"], expected)


def test_a_rule_for_one_of_two_tied_modules_draws_once() -> None:
    embedding = {"name": "e", "type": "Embedding", "num_embeddings": 6, "embedding_dim": 4}
    head: dict[str, Any] = {"name": "o", "type": "Linear", "in_features": 4, "out_features": 6}
    head["tie"] = {"weight": "e.weight"}
    rule = {"match": {"module": "Embedding"}, "initializer": {"type": "normal", "std": 0.02}}
    spec = parse_spec(
        {
            "architecture": {"type": "Module", "children": [embedding, head]},
            "init": {"generator": "torch", "rules": [rule]},
        }
    )
    found = materialize(spec, make_plan(spec, platform=platform()))
    torch.manual_seed(0)
    weight = torch.nn.Embedding(6, 4).weight
    torch.nn.Linear(4, 6)
    assert torch.equal(found["e.weight"], torch.nn.init.normal_(weight, std=0.02))


def test_every_initializer_of_torch_is_in_the_catalogue() -> None:
    functions = {name[:-1] for name in dir(nn.init) if name.endswith("_") and name[0] != "_"}
    assert functions - set(CATALOGUE) == set()


@given(
    st.sampled_from(
        ["linear", "conv1d", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv_transpose3d"]
    ),
    st.floats(-10, 10),
    st.sampled_from(["fan_in", "fan_out"]),
    st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple),
)
def test_kaiming_std_is_torchs_arithmetic(
    nonlinearity: Any, a: float, mode: Any, shape: tuple[int, ...]
) -> None:
    found = source(
        {"type": "kaiming_normal", "a": a, "mode": mode, "nonlinearity": nonlinearity}, shape
    )
    fan = nn.init._calculate_correct_fan(torch.empty(shape), mode)
    gain = nn.init.calculate_gain(nonlinearity, a)
    assert found == Normal.of(0.0, gain / math.sqrt(fan))


@pytest.mark.parametrize(
    ("name", "scale", "mode", "distribution"),
    [
        ("lecun_normal", 1.0, "fan_in", "truncated_normal"),
        ("lecun_uniform", 1.0, "fan_in", "uniform"),
        ("glorot_normal", 1.0, "fan_avg", "truncated_normal"),
        ("glorot_uniform", 1.0, "fan_avg", "uniform"),
        ("he_normal", 2.0, "fan_in", "truncated_normal"),
        ("he_uniform", 2.0, "fan_in", "uniform"),
    ],
)
def test_specializations_are_variance_scaling(
    name: str, scale: float, mode: str, distribution: str
) -> None:
    general = {"type": "variance_scaling", "scale": scale, "mode": mode}
    assert source({"type": name}, (8, 24)) == source(
        general | {"distribution": distribution}, (8, 24)
    )


def test_variance_scaling_widens_the_truncated_normal_by_jaxs_constant() -> None:
    std = math.sqrt(1 / 24) / 0.87962566103423978
    assert source({"type": "variance_scaling"}, (8, 24)) == TruncNormal.of(
        0.0, std, -2 * std, 2 * std
    )


@pytest.mark.parametrize(
    ("mode", "fan"),
    [("fan_in", 24), ("fan_out", 8), ("fan_avg", 16), ("fan_geo_avg", math.sqrt(8 * 24))],
)
def test_variance_scaling_modes(mode: str, fan: float) -> None:
    found = source({"type": "variance_scaling", "mode": mode, "distribution": "normal"}, (8, 24))
    assert found == Normal.of(0.0, math.sqrt(1 / fan))


def test_glorot_uniform_is_xavier_uniform_in_distribution() -> None:
    keras, torchs = (
        source({"type": "glorot_uniform"}, (8, 24)),
        source({"type": "xavier_uniform"}, (8, 24)),
    )
    assert isinstance(keras, Uniform) and isinstance(torchs, Uniform)
    assert keras.high == pytest.approx(torchs.high, rel=1e-15)


def test_fans_of_a_transposed_grouped_convolution_can_be_given() -> None:
    fans = FanSpec(in_axes=(0,), out_axes=(1,), groups=2).fans((8, 3, 5, 5), Surroundings())
    assert (fans.fan_in, fans.fan_out) == (8 * 25 // 2, 3 * 25)


def test_default_fans_are_torchs() -> None:
    for shape in [(3, 4), (3, 4, 5), (3, 4, 5, 6)]:
        found = default_fans(shape)
        assert found is not None
        assert (found.fan_in, found.fan_out) == nn.init._calculate_fan_in_and_fan_out(
            torch.empty(shape)
        )
    assert default_fans((3,)) is None


@pytest.mark.parametrize(
    ("initializer", "shape", "argument"),
    [
        ({"type": "normal", "std": -1}, (2, 2), "std"),
        ({"type": "normal", "std": "0 - fan_in"}, (2, 2), "std"),
        ({"type": "trunc_normal", "std": 0}, (2, 2), "std"),
        ({"type": "xavier_uniform", "gain": -1}, (2, 2), "gain"),
        ({"type": "dirac", "groups": 3}, (4, 4, 3), "groups"),
        ({"type": "sparse", "sparsity": 1.5}, (4, 4), "sparsity"),
        ({"type": "values", "values": [1, 2, 3]}, (2, 2), "values"),
        ({"type": "variance_scaling", "scale": 0}, (2, 2), "scale"),
        ({"type": "normal", "std": "x"}, (2, 2), "std"),
        ({"type": "kaiming_normal", "a": -1e200}, (2, 2), "a"),
        ({"type": "kaiming_uniform", "a": 1e160}, (2, 2), "a"),
        (
            {"type": "xavier_normal", "gain": {"nonlinearity": "leaky_relu", "param": 1e200}},
            (2, 2),
            "gain.param",
        ),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    initializer: dict[str, Any], shape: tuple[int, ...], argument: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        source(initializer, shape, fan_in=2.0)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        ({"type": "uniform", "a": 2, "b": 1}, (2,)),
        ({"type": "uniform", "a": -3e38, "b": 3e38}, (2,)),
        ({"type": "normal", "std": 1e39}, (2,)),
        ({"type": "trunc_normal", "a": 1, "b": 1}, (2,)),
        ({"type": "trunc_normal", "a": 5, "b": 6}, (2,)),
        ({"type": "eye"}, (2,)),
        ({"type": "dirac"}, (2, 2)),
        ({"type": "xavier_normal"}, (2,)),
        ({"type": "kaiming_uniform"}, ()),
        ({"type": "orthogonal"}, (2,)),
        ({"type": "sparse", "sparsity": 0.1}, (2, 2, 2)),
        ({"type": "own"}, (2,)),
    ],
)
def test_what_a_tensor_cannot_take_is_refused(
    initializer: dict[str, Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"needs|wider|lie wholly|cannot be"):
        source(initializer, shape)


@pytest.mark.parametrize(
    "initializer",
    [
        {"type": "normal", "std": float("nan")},
        {"type": "normal", "std": float("inf")},
        {"type": "normal", "std": True},
        {"type": "normal", "std": [1]},
        {"type": "normal", "std": "1 +"},
        {"type": "normal", "sd": 1},
        {"type": "values", "values": [[1, 2], [3]]},
        {"type": "values", "values": ["a"]},
        {"type": "values", "values": [float("nan")]},
        {"type": "values", "values": [True]},
        {"type": "dirac", "groups": 0},
        {"type": "constant"},
    ],
)
def test_what_is_no_initializer_does_not_parse(initializer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(initializer)


def test_values_keep_every_bit() -> None:
    target = Target((2, 2), BY_NAME["float64"], None, {})
    found = ADAPTER.validate_python({"type": "values", "values": [[0.1, -0.0], [1e-310, 3]]})
    literal = found.source(target)
    raw = torch.frombuffer(bytearray(target.blobs[literal.sha256]), dtype=torch.float64)
    assert [value.hex() for value in raw.tolist()] == [v.hex() for v in (0.1, -0.0, 1e-310, 3.0)]


MASK = -3.4028234663852886e38  # The least float32, which attention masks hold.


@pytest.mark.parametrize(
    ("dtype", "values", "kept"),
    [
        ("float32", [MASK, 0.5], [MASK, 0.5]),
        ("bfloat16", [MASK, 0.5], [MASK, 0.5]),  # As float32, until it is converted.
        ("float16", [65520, 10**30], [65520.0, 1e30]),
        ("float64", [1e300, 2**64], [1e300, 2.0**64]),
        ("int64", [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ("bool", [1.0, 0], [1, 0]),
    ],
)
def test_values_may_be_any_number_that_the_tensor_s_dtype_takes(
    dtype: str, values: list[float], kept: list[float]
) -> None:
    target = Target((2,), BY_NAME[dtype], None, {})
    literal = ADAPTER.validate_python({"type": "values", "values": values}).source(target)
    held = getattr(torch, literal.dtype)
    found = torch.frombuffer(bytearray(target.blobs[literal.sha256]), dtype=held)
    assert torch.equal(found, torch.tensor(kept, dtype=held))


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        ("float32", 1e39, "exceeds the range of float32"),
        ("float16", -(10**39), "exceeds the range of float32"),
        ("int64", 2**63, "does not fit int64"),
        ("int64", 1e300, "does not fit int64"),
        ("uint64", 2**64, "does not fit uint64"),
        ("int8", 0.5, "does not fit int8"),
        ("bool", 2, "does not fit bool"),
    ],
)
def test_a_value_that_the_tensor_s_dtype_cannot_take_is_refused(
    dtype: str, value: float, said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        source({"type": "values", "values": [value]}, (1,), dtype)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**309, -(10**400)])
def test_a_value_that_is_not_finite_does_not_parse(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        ADAPTER.validate_python({"type": "values", "values": [value]})


def test_every_catalogue_example_is_a_valid_initializer() -> None:
    types = [entry["type"] for entry in catalogue()]
    members = get_args(get_args(InitializerSpec)[0])
    assert len(types) == len(set(types)) == len(members)
    for entry in catalogue():
        assert ADAPTER.validate_python(entry["example"]).type == entry["type"]
        assert entry["summary"].endswith(".")


def test_a_draw_on_an_integer_tensor_is_a_fault() -> None:
    spec = parse_spec(
        {
            "architecture": {
                "type": "tensors",
                "tensors": [{"name": "ids", "shape": [3], "dtype": "int64"}],
            },
            "init": {"rules": [{"match": {}, "initializer": {"type": "normal"}}]},
        }
    )
    with pytest.raises(SpecError) as caught:
        make_plan(spec)
    assert caught.value.faults[0].path == "init.rules.0.initializer"
