"""The kernel of upsampling, against `interpolate` and the code of fully convolutional networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seedpoint.models.formulas import Bilinear
from tests.models.formulas.contract import FormulaContract, generated


def fcn(channels: int, size: int) -> torch.Tensor:
    """`get_upsampling_weight` of the public PyTorch ports of FCN."""
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    og = np.ogrid[:size, :size]
    kernel = (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)
    weight = np.zeros((channels, channels, size, size), dtype=np.float64)
    weight[range(channels), range(channels), :, :] = kernel
    return torch.from_numpy(weight)


class TestBilinear(FormulaContract):
    formula = Bilinear()
    expected = fcn(3, 4)
    refused = (
        ("three, four or five", Bilinear(), (3, 3), True),
        ("floating", Bilinear(), (3, 3, 4, 4), False),
        ("groups must divide 3", Bilinear(2), (3, 3, 4, 4), True),
        ("groups must divide 3", Bilinear(0), (3, 3, 4, 4), True),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_every_size_is_that_of_fully_convolutional_networks(size: int) -> None:
    assert torch.equal(generated(Bilinear(), (2, 2, size, size)), fcn(2, size).float())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_each_channel_is_upsampled_by_itself(groups: int) -> None:
    layer = torch.nn.ConvTranspose2d(4, 4, 4, 2, padding=1, groups=groups, bias=False)
    with torch.no_grad():
        layer.weight.copy_(generated(Bilinear(groups), tuple(layer.weight.shape)))
        image = torch.rand(1, 4, 9, 9, generator=torch.Generator().manual_seed(0))
        found = layer(image)
    wanted = torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2])
