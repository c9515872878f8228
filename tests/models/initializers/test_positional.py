"""Initializers that are formulas: their arguments, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models import formulas
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.initializers import CATALOGUE, Target
from seedpoint.models.plan.program import Source


def source(initializer: dict[str, Any], shape: tuple[int, ...], dtype: str = "float32") -> Source:
    made = CATALOGUE[initializer["type"]].model_validate(initializer)
    return made.source(Target(shape, BY_NAME[dtype], None, {"n": 4.0}))


def test_arguments_are_numbers_or_expressions() -> None:
    assert source({"type": "arange", "start": "n", "step": "1/n"}, (3,)) == formulas.Arange(4, 0.25)
    assert source({"type": "inv_freq", "base": "n**2"}, (3,)) == formulas.InvFreq(16.0)
    triangle = source({"type": "triu", "val": "-Infinity", "diagonal": 1}, (3, 3))
    assert triangle == formulas.Triu(-float("inf"), 0, 1)


def test_powers_with_whole_exponents_are_products() -> None:
    made = source({"type": "map", "expression": "-(i**2) + 2**i + i**-1 * 0"}, (0,))
    assert made == formulas.Map("i ^2 neg 2.0 i ** + i 1.0 neg ** 0.0 * +")


@pytest.mark.parametrize(
    ("initializer", "shape", "dtype", "reason"),
    [
        ({"type": "arange", "axis": 1}, (3,), "float32", "axis 1 is outside"),
        ({"type": "arange", "step": 0.5}, (3,), "int64", "do not give integers"),
        ({"type": "tril"}, (3,), "float32", "two dimensions"),
        ({"type": "tril", "val": 300}, (3, 3), "uint8", "300 is not a value"),
        ({"type": "sinusoidal"}, (3, 3), "complex64", "cannot fill a complex64"),
        ({"type": "sinusoidal", "base": 0}, (3, 3), "float32", "base must be above 0"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_the_reason(
    initializer: dict[str, Any], shape: tuple[int, ...], dtype: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        source(initializer, shape, dtype)
