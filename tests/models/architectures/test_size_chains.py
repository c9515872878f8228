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
    inner = {"type": "Sequential", "layers": [linear(1, 2), linear(3, 4)]}
    assert len(broken(inner, {"type": "Repeat", "count": 2, "layer": inner})) == 2
