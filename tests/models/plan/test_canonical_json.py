"""Canonical JSON: as the library writes it, byte for byte, whatever is known beforehand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.plan.canonical_json import (
    Serialized,
    SerializedList,
    representable,
    restored,
    text,
)

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
STRINGS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | STRINGS,
    lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner),
)


def known(value: Any) -> Any:
    """The same value of pieces that keep their text."""
    if isinstance(value, dict):
        return Serialized({key: known(item) for key, item in value.items()})
    return SerializedList(map(known, value)) if isinstance(value, list) else value


@given(VALUES)
def test_the_text_is_the_librarys(value: Any) -> None:
    assert text(value).encode() == rfc8785.dumps(value)


@given(VALUES)
def test_known_pieces_change_nothing(value: Any) -> None:
    pieces = known(value)
    assert text(pieces) == text(pieces) == text(value)
    assert pieces == value


# The example of RFC 8785, section 3.2.3, whose order is neither code points' nor bytes'.
RFC_KEYS = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_members_are_in_the_order_of_utf_16() -> None:
    written = text(dict.fromkeys(sorted(RFC_KEYS), 0))
    assert written == "{" + ",".join(f"{text(key)}:0" for key in RFC_KEYS) + "}"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (1e21, "1e+21"),
        (333333333.33333329, "333333333.3333333"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (True, "true"),
    ],
)
def test_numbers_are_as_ecmascript_writes_them(number: float, written: str) -> None:
    assert text(number) == written


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, [-(2**53)], {"a": {"b": math.inf}}])
def test_a_number_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"domain|representable"):
        text(value)


def test_what_rfc_8785_loses_is_written_as_a_string() -> None:
    assert representable({"a": [2**53, -(2**60), 7, True, -0.0, 0.0]}) == {
        "a": ["9007199254740992", "-1152921504606846976", 7, True, "-0.0", 0.0]
    }


def test_a_long_integer_that_is_read_back_was_a_float() -> None:
    written = {"a": [1e17, -1e20, 7, True, 1.5]}
    again = restored(json.loads(text(written)))
    assert again == written
    assert text(again) == text(written)


def test_the_text_of_a_piece_is_made_once() -> None:
    piece = Serialized(a=1)
    assert text([piece]) == '[{"a":1}]'
    piece["a"] = 2  # what its text no longer follows
    assert text([piece, piece]) == '[{"a":1},{"a":1}]'
