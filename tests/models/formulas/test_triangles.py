"""Triangles, against `torch.tril` and `torch.triu`."""

from __future__ import annotations

import math

import pytest
import torch

from seedpoint.models.formulas import Tril, Triu
from tests.models.formulas.contract import FormulaContract, generated


class TestTril(FormulaContract):
    formula = Tril(diagonal=-1)
    expected = torch.tril(torch.ones(2, 5, 6), -1)
    refused = (
        ("two dimensions", Tril(), (5,), True),
        ("integers", Tril(val=0.5), (5, 5), False),
        ("not a number", Tril(val=math.nan), (5, 5), True),
    )


class TestTriu(FormulaContract):
    formula = Triu(2.5, 0.5, 1)
    expected = torch.triu(torch.full((6, 5), 2.0), 1) + 0.5
    refused = (("two dimensions", Triu(), (), True), ("diagonal", Triu(1, 0, 0.5), (5, 5), True))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_a_mask_takes_dtypes_that_are_not_floating(dtype: str) -> None:
    expected = torch.tril(torch.ones(1, 1, 9, 9)).to(getattr(torch, dtype))
    assert torch.equal(generated(Tril(), (1, 1, 9, 9), dtype), expected)


@pytest.mark.parametrize("far", [10, 2**63, 2**80, 10**300])
def test_a_diagonal_far_outside_is_past_every_element(far: int) -> None:
    ones, zeros = torch.ones(4, 4), torch.zeros(4, 4)
    assert torch.equal(generated(Tril(diagonal=far), (4, 4)), ones)
    assert torch.equal(generated(Tril(diagonal=-far), (4, 4)), zeros)
    assert torch.equal(generated(Triu(diagonal=far), (4, 4)), zeros)
    assert torch.equal(generated(Triu(diagonal=-far), (4, 4)), ones)


def test_an_attention_mask_has_infinity_above_the_diagonal() -> None:
    expected = torch.triu(torch.full((7, 7), -math.inf), 1)
    assert torch.equal(generated(Triu(-math.inf, diagonal=1), (7, 7)), expected)
