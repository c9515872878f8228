"""Constants of a spec."""

from __future__ import annotations

import pytest

from seedpoint.models.spec.constants import ConstantError, constant_values


def test_numbers_stay_and_expressions_are_evaluated_in_any_order() -> None:
    values = constant_values({"a": "b * 2", "b": "c + 1", "c": 3, "d": 0.5})
    assert values == {"a": 8.0, "b": 4.0, "c": 3, "d": 0.5}
    assert isinstance(values["c"], int)


@pytest.mark.parametrize("constants", [{"a": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_constants_that_need_each_other_are_refused(constants: dict[str, str]) -> None:
    with pytest.raises(ConstantError, match="needs itself"):
        constant_values(constants)


def test_the_error_names_the_constant() -> None:
    with pytest.raises(ConstantError, match="divides by zero") as raised:
        constant_values({"zero": 0, "bad": "1 / zero"})
    assert raised.value.name == "bad"
