"""Evenly spaced numbers, against `torch.arange` and `torch.linspace`."""

from __future__ import annotations

import math

import pytest
import torch

from seedpoint.models.formulas import Arange, Linspace
from tests.models.formulas.contract import FormulaContract, generated


class TestArange(FormulaContract):
    formula = Arange(1, 2)
    expected = torch.arange(1, 15, 2).expand(3, 5, 7)
    refused = (
        ("finite", Arange(math.inf), (3,), True),
        ("axis 1 is outside", Arange(axis=1), (3,), True),
        ("do not give integers", Arange(0.5), (3,), False),
    )


class TestLinspace(FormulaContract):
    formula = Linspace(-1.0, 2.0, 0)
    expected = torch.linspace(-1, 2, 11, dtype=torch.float64)[:, None].expand(11, 3)
    refused = (
        ("finite", Linspace(0.0, math.nan), (3,), True),
        ("too wide", Linspace(-1e308, 1e308), (3,), True),
        ("axis -2 is outside", Linspace(0.0, 1.0, -2), (3,), True),
        ("arange counts", Linspace(0.0, 1.0), (3,), False),
    )


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64", "bfloat16"])
def test_whole_numbers_are_exact_in_every_dtype(dtype: str) -> None:
    expected = torch.arange(3, 103).to(getattr(torch, dtype))
    assert torch.equal(generated(Arange(3), (100,), dtype), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1001])
def test_both_ends_are_exact_and_the_rest_is_torchs(size: int) -> None:
    found = generated(Linspace(0.1, 0.7), (size,), "float64")
    torch.testing.assert_close(found, torch.linspace(0.1, 0.7, size).double(), rtol=1e-6, atol=0)
    assert found[0] == 0.1
    assert size == 1 or found[-1] == 0.7


def test_a_step_that_is_not_whole_is_rounded_once() -> None:
    found = generated(Arange(0.5, 0.1), (50,))
    assert torch.equal(found, (torch.arange(50, dtype=torch.float64) * 0.1 + 0.5).float())
