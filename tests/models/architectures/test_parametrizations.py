"""Parametrizations: torch's own functions on a layer's tensors, or faults at their places."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.architectures import check, normalized, parse
from seedpoint.models.errors import LimitExceeded
from tests.support.trees import assert_same, built, faults, linear, paths, repeat, sequential


def parametrized(parametrization: Any, **more: Any) -> dict[str, Any]:
    return linear(4, 3, parametrizations={"weight": parametrization}, **more)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm_is_torch_s(dim: int | None) -> None:
    result = built(parametrized({"type": "weight_norm", "dim": dim}))
    torch.manual_seed(3)
    expected = parametrizations.weight_norm(nn.Linear(4, 3), dim=-1 if dim is None else dim)
    assert_same(result.module, expected)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [({}, {}), ({"n_power_iterations": 2, "eps": 1e-6, "dim": 1}, None)],
)
def test_spectral_norm_is_torch_s(given: dict[str, Any], arguments: dict[str, Any] | None) -> None:
    result = built(parametrized({"type": "spectral_norm", **given}))
    torch.manual_seed(3)
    more = given if arguments is None else arguments
    assert_same(result.module, parametrizations.spectral_norm(nn.Linear(4, 3), **more))


def test_the_name_of_a_parametrization_stands_for_its_defaults() -> None:
    document = parametrized("weight_norm")
    canonical = normalized(parse(document))
    assert canonical["parametrizations"] == {"weight": {"type": "weight_norm"}}
    assert_same(built(canonical).module, built(document).module)


def test_a_parametrization_may_have_the_name_of_its_function() -> None:
    name = "torch.nn.utils.parametrizations.weight_norm"
    for written in (name, {"type": name}):
        assert normalized(parse(parametrized(written))) == normalized(
            parse(parametrized("weight_norm"))
        )


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_the_order_of_an_object_of_parametrizations_carries_no_meaning(kind: str) -> None:
    lstm = {"type": "LSTM", "input_size": 3, "hidden_size": 4}
    names = ["weight_ih_l0", "weight_hh_l0"]
    one, other = (
        built({**lstm, "parametrizations": dict.fromkeys(order, kind)}).module
        for order in (names, names[::-1])
    )
    assert list(one.state_dict()) == list(other.state_dict())
    assert_same(one, other)


def test_tensors_of_modules_are_parametrized_too() -> None:
    document = {
        "type": "Module",
        "parameters": {"kernel": {"shape": [2, 3]}},
        "parametrizations": {"kernel": {"type": "weight_norm"}},
    }
    assert list(built(document).module.state_dict()) == [
        "parametrizations.kernel.original0",
        "parametrizations.kernel.original1",
    ]


def test_every_copy_of_a_repeat_is_parametrized() -> None:
    names = list(built(repeat(2, parametrized("weight_norm"))).module.state_dict())
    assert [name for name in names if name.endswith("original0")] == [
        "0.parametrizations.weight.original0",
        "1.parametrizations.weight.original0",
    ]


def test_a_tensor_that_is_not_there_is_a_fault() -> None:
    document = linear(bias=False, parametrizations={"wieght": "weight_norm", "bias": "weight_norm"})
    assert faults(document) == [
        (
            "architecture.parametrizations.wieght",
            "this layer has no tensor 'wieght'; known: weight",
        ),
        ("architecture.parametrizations.bias", "this layer has no tensor 'bias'; known: weight"),
    ]


@pytest.mark.parametrize(
    ("parametrization", "path"),
    [
        ({"type": "spectral_norm", "dim": 2}, ".weight"),
        ({"type": "spectral_norm", "n_power_iterations": 0}, ".weight.n_power_iterations"),
        ({"type": "weight_norm", "dim": 0.5}, ".weight.dim"),
        ({"type": "weight_norm", "p": 1}, ".weight.p"),
        ({"type": "norm"}, ".weight.type"),
        ("norm", ".weight"),
        (3, ".weight"),
    ],
)
def test_a_parametrization_that_cannot_be_is_a_fault(parametrization: Any, path: str) -> None:
    assert paths(parametrized(parametrization)) == [f"architecture.parametrizations{path}"]


def test_a_lazy_layer_has_no_tensor_to_parametrize() -> None:
    document = {
        "type": "LazyLinear",
        "out_features": 3,
        "input_shape": [1, 4],
        "parametrizations": {"weight": "weight_norm"},
    }
    assert paths(document) == ["architecture.parametrizations.weight"]


def test_its_modules_are_counted() -> None:
    document = sequential(parametrized("weight_norm"), parametrized("spectral_norm"))
    count = len(list(built(document).module.modules()))
    check(parse(document), max_modules=count)
    with pytest.raises(LimitExceeded):
        check(parse(document), max_modules=count - 1)
