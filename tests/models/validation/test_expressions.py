"""Arithmetic in a spec."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.validation.expressions import ExpressionError, evaluate, names, parse


def test_it_computes_in_binary64_as_python_does() -> None:
    assert evaluate("0.02 / sqrt(2 * n_layer)", {"n_layer": 12}) == 0.02 / math.sqrt(2 * 12)
    assert evaluate("-fan_in ** 2 // 3 % 5 + max(1, numel)", {"fan_in": 7, "numel": 4}) == (
        -(7.0**2) // 3 % 5 + 4.0
    )


def test_a_number_is_itself() -> None:
    assert evaluate(3, {}) == 3.0
    assert evaluate(0.1, {}) == 0.1


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from("+-*"))
def test_operators_are_pythons(a: float, b: float, operator: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b}[operator]
    assert evaluate(f"a {operator} b", {"a": a, "b": b}) == expected


def test_names_are_what_must_be_in_scope() -> None:
    assert names("sqrt(fan_in) + n_layer * max(1, x)") == {"fan_in", "n_layer", "x"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "1 +", "1 2", "x = 1", "lambda: 1", "[1]", "'a'", "x.y", "x[0]", "1 if x else 2"),
        *("1j", "True", "x and y", "x < 1", "__import__('os')", "open('f')", "sqrt", "f(1)"),
        *("sqrt(x=1)", "sqrt(*x)", "(lambda: 1)()", "x := 1", "1; 2", "a\x00b", "~1"),
        *("(" * 5000 + "1" + ")" * 5000, "-" * 500 + "1", "-" * 5000 + "1", "1+" * 400 + "1"),
        *("(" * 300 + "1" + ")" * 300,),
    ],
)
def test_what_is_not_plain_arithmetic_does_not_parse(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {"x": 1.0, "y": 2.0, "sqrt": None})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "divides by zero"),
        ("1 % (1 - 1)", "divides by zero"),
        ("9 ** 9 ** 9", "has no value"),
        ("1e308 * 10", "not a finite number"),
        ("sqrt(-1)", "has no value"),
        ("(-8) ** 0.5", "has no value"),
        ("log(0)", "has no value"),
        ("sqrt(1, 2)", "has no value"),
        ("1e999", "not a finite number"),
        ("unknown", "unknown name 'unknown'; known names: known; init.constants can define it"),
        ("fan_in", "unknown name"),
    ],
)
def test_an_expression_without_a_finite_value_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(")):
        evaluate(text, {"known": 1.0})


def test_a_name_without_a_value_here_says_so() -> None:
    with pytest.raises(ExpressionError, match="fewer than two dimensions"):
        evaluate("1 / fan_in", {"fan_in": None})


def test_parsing_alone_finds_no_fault_in_an_unknown_name() -> None:
    parse("anything / other")


def test_a_function_without_an_argument_is_not_called_unknown() -> None:
    with pytest.raises(ExpressionError, match=r"min\(\) in '1 \+ min\(\)' needs an argument"):
        parse("1 + min()")


def test_a_name_with_a_dot_is_written_alone() -> None:
    with pytest.raises(ExpressionError, match="write 'hidden_size' alone"):
        parse("0.02 * (config.hidden_size / 64) ** -0.5")
