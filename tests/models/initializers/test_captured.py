"""Names with captured integers."""

from __future__ import annotations

import pytest

from seedpoint.models.initializers.captured import filled


def test_captures_are_filled_in() -> None:
    assert filled("h.{layer}.{{x}}", {"layer": 3.0}) == "h.3.{x}"


@pytest.mark.parametrize("name", ["{other}", "{half}", "{", "}", "{}", "", "\ud800"])
def test_a_field_without_an_integer_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"captured integer|cannot name"):
        filled(name, {"half": 0.5, "none": None})
