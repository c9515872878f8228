"""Sizes of neighbours in a Sequential that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.architectures import broken_chains, check, parse
from seedpoint.models.architectures.base import Layer


def broken(*layers: dict[str, Any]) -> list[str]:
    architecture = parse({"type": "Sequential", "layers": list(layers)})
    assert isinstance(architecture, Layer)
    return [str(fault) for fault in broken_chains(check(architecture).tree)]


def linear(size_in: int, size_out: int) -> dict[str, Any]:
    return {"type": "Linear", "in_features": size_in, "out_features": size_out}


def conv(size_in: int, size_out: int) -> dict[str, Any]:
    return {"type": "Conv2d", "in_channels": size_in, "out_channels": size_out, "kernel_size": 1}


RELU = {"type": "ReLU"}


def test_a_linear_that_does_not_take_the_features_before_it_is_a_fault() -> None:
    (fault,) = broken(linear(20, 256), RELU, linear(128, 10))
    assert fault == (
        "architecture.layers.2.in_features: in_features is 128, and the layer before gives 256 "
        "features"
    )


def test_a_convolution_is_compared_by_channels() -> None:
    norm = {"type": "BatchNorm2d", "num_features": 8}
    assert broken(conv(3, 8), norm, RELU, conv(8, 4)) == []
    assert len(broken(conv(3, 8), norm | {"num_features": 4}, RELU, conv(4, 4))) == 2


@pytest.mark.parametrize(
    "layer", [{"type": "Flatten"}, {"type": "GLU"}, {"type": "Ref", "ref": "0"}]
)
def test_layers_whose_output_is_not_known_end_a_chain(layer: dict[str, Any]) -> None:
    assert broken(conv(3, 8), layer, linear(512, 10), linear(10, 10)) == []


def test_a_linear_on_the_last_axis_of_an_image_is_no_fault() -> None:
    assert broken(conv(3, 8), linear(4, 4), conv(8, 8)) == []


def test_chains_inside_others_are_searched() -> None:
    inner = {"type": "Sequential", "layers": [linear(1, 2), linear(3, 1)]}
    assert len(broken(inner, {"type": "Repeat", "count": 2, "layer": inner})) == 2


def test_a_chain_goes_through_the_layers_inside() -> None:
    inner = {"type": "Sequential", "layers": [RELU, linear(4, 8)]}
    assert broken(linear(3, 4), inner, {"type": "Dropout"}, linear(8, 2)) == []
    first, last = broken(linear(3, 5), inner, {"type": "Dropout"}, linear(7, 2))
    assert first.startswith("architecture.layers.1.layers.1.in_features: in_features is 4, and")
    assert last.startswith("architecture.layers.3.in_features: in_features is 7, and the layer be")


@pytest.mark.parametrize(("count", "faults"), [(0, 0), (1, 1), (2, 2)])
def test_copies_of_a_layer_follow_one_another(count: int, faults: int) -> None:
    layers = {"type": "Repeat", "count": count, "layer": linear(4, 8)}
    assert len(broken(layers, linear(5, 2))) == faults


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        ({"type": "LayerNorm", "normalized_shape": 16}, "normalized_shape"),
        ({"type": "RMSNorm", "normalized_shape": [8, 16]}, "normalized_shape"),
        ({"type": "LSTM", "input_size": 16, "hidden_size": 3}, "input_size"),
        ({"type": "TransformerEncoderLayer", "d_model": 16, "nhead": 2}, "d_model"),
    ],
)
def test_layers_that_know_their_features_are_compared(layer: dict[str, Any], argument: str) -> None:
    (fault,) = broken(linear(4, 8), layer)
    assert fault.startswith(f"architecture.layers.1.{argument}: {argument} is 16, and the layer")
    assert broken(linear(4, 16), layer) == []


def test_layers_that_know_their_channels_are_compared() -> None:
    norm = {"type": "GroupNorm", "num_groups": 2, "num_channels": 4}
    pool = {"type": "AdaptiveAvgPool2d", "output_size": 1}
    assert len(broken(conv(3, 8), pool, norm, conv(4, 4))) == 2
    assert broken(conv(3, 4), pool, norm, conv(4, 4)) == []
