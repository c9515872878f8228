"""Position tables and rotary frequencies, against the formulas of PyTorch code."""

from __future__ import annotations

import math

import pytest
import torch

from seedpoint.models.formulas import InvFreq, Sinusoidal
from tests.models.formulas.contract import FormulaContract, generated

POSITIONS = torch.arange(70, dtype=torch.float64)[:, None]


def table(columns: int) -> torch.Tensor:
    """The table of the PyTorch tutorial, in binary64."""
    steps = torch.exp(torch.arange(0, columns, 2) * (-math.log(10000.0) / columns))
    found = torch.zeros(70, columns, dtype=torch.float64)
    found[:, 0::2] = torch.sin(POSITIONS * steps.double())
    found[:, 1::2] = torch.cos(POSITIONS * steps.double())[:, : columns // 2]
    return found


class TestSinusoidal(FormulaContract):
    formula = Sinusoidal()
    expected = table(12)
    tolerance = 1e-5
    refused = (
        ("inv_freq", Sinusoidal(), (8,), True),
        ("floating", Sinusoidal(), (8, 8), False),
        ("layout", Sinusoidal(layout="mixed"), (8, 8), True),
        ("base", Sinusoidal(base=0.0), (8, 8), True),
    )


class TestInvFreq(FormulaContract):
    formula = InvFreq(500_000.0)
    expected = 1.0 / 500_000.0 ** (torch.arange(0, 64, 2).double() / 64)
    tolerance = 1e-6
    refused = (
        ("floating", InvFreq(), (8,), False),
        ("at least one", InvFreq(), (), True),
        ("dim", InvFreq(dim=0), (8,), True),
        ("base", InvFreq(base=-1.0), (8,), True),
    )


@pytest.mark.parametrize("columns", [8, 7])
def test_halves_hold_the_same_numbers_as_interleaved_columns(columns: int) -> None:
    mixed = generated(Sinusoidal(), (2, 70, columns))
    halves = generated(Sinusoidal(layout="halves"), (2, 70, columns))
    assert torch.equal(halves, torch.cat([mixed[..., 0::2], mixed[..., 1::2]], -1))


def test_far_positions_are_as_exact_as_near_ones() -> None:
    shape = (1 << 17, 4)
    found = generated(Sinusoidal(), shape, "float64")[-1]
    angle = float(shape[0] - 1)
    expected = [f(angle * s) for s in (1.0, 0.01) for f in (math.sin, math.cos)]
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-6, atol=1e-6)
    assert abs(found[0].item() - math.sin(angle)) < 1e-15
