"""Expressions over indices, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.formulas import Map
from seedpoint.models.initializers import CATALOGUE, ArgumentError, Target
from tests.models.formulas.contract import FormulaContract, generated

AT, ROW, COL = (np.arange(20.0).reshape(4, 5), *np.indices((4, 5)).astype(np.float64))
CASES: list[tuple[str, Any]] = [
    ("i", AT),
    ("row * 10 + col", ROW * 10 + COL),
    ("-(i - 7) ** 2 / 3", -((AT - 7) ** 2) / 3),
    ("2 ** -col", 2.0**-COL),
    ("(i + 1) ** 0.5", (AT + 1) ** 0.5),
    ("i // 3 + i % 3", AT // 3 + AT % 3),
    ("max(row, col, 2) - min(row, 1)", np.maximum(np.maximum(ROW, COL), 2) - np.minimum(ROW, 1)),
    ("exp(-col) + expm1(row / 8)", np.exp(-COL) + np.expm1(ROW / 8)),
    ("log(col + 1)", np.log(COL + 1)),
    ("sqrt(abs(i - 9)) + floor(i / 4) - ceil(i / 4)",
     np.sqrt(abs(AT - 9)) + np.floor(AT / 4) - np.ceil(AT / 4)),
    ("softplus(i - 10)", np.log1p(np.exp(AT - 10))),
    ("sin(i) * cos(row)", np.sin(AT) * np.cos(ROW)),
    ("i / numel + fan * 0.5", AT / 20 + 1.5),
]  # fmt: skip


def formula(expression: str, shape: tuple[int, ...] = (4, 5)) -> Map:
    scope = {"numel": 20.0, "fan": 3.0, "fan_in": None}
    initializer = CATALOGUE["map"].model_validate({"type": "map", "expression": expression})
    found = initializer.source(Target(shape, BY_NAME["float32"], None, scope))
    assert isinstance(found, Map)
    return found


class TestMap(FormulaContract):
    formula = Map("col 1.0 + log")
    expected = torch.log(torch.arange(1, 17, dtype=torch.float64)).expand(8, 16)
    refused = (
        ("floating", Map("i"), (3,), False),
        ("lacks an operand", Map("i +"), (3,), True),
        ("not one value", Map("i i"), (3,), True),
        ("not one value", Map(""), (3,), True),
        ("could not convert", Map("i system"), (3,), True),
        ("not a finite number", Map("inf"), (3,), True),
        ("bad power", Map("i ^65"), (3,), True),
        ("longer", Map("i abs" + " abs" * 2000), (3,), True),
    )


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=lambda case: str(case)[:20])
def test_an_expression_has_numpys_value(expression: str, expected: Any) -> None:
    found = generated(formula(expression), (4, 5), "float64").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_a_vector_has_columns_and_one_row() -> None:
    assert generated(formula("row * 100 + col - i", (6,)), (6,)).tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("log(col)", "-inf at element 0"),
        ("sqrt(col - 1)", "nan at element 0"),
        ("width + 1", "unknown name 'width'"),
        ("fan_in * i", "'fan_in' is undefined"),
        ("log(1, 2)", "takes one number"),
    ],
)
def test_an_expression_without_a_value_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        formula(expression)


def test_only_exact_functions_can_be_called() -> None:
    with pytest.raises(ValueError, match="'tanh' cannot be called"):
        formula("tanh(i)")
