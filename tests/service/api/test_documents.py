"""JSON from strangers: read strictly, refused with a reason, never a crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SpecError
from service.errors import MalformedBody
from service.planning.documents import parse_json

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES, st.booleans())
def test_json_is_read_as_it_was_written(value: object, ascii_only: bool) -> None:
    try:
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert parse_json(body) == value


@given(st.binary())
def test_bytes_are_json_or_malformed(body: bytes) -> None:
    try:
        parse_json(body)
    except (MalformedBody, SpecError):
        pass


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b"{} {}", "extra data"),
        (b'{"a": NaN}', "NaN"),
        (b"-Infinity", "-Infinity"),
        (b'"\xff"', "not UTF-8.*byte 1"),
        ('"é"'.encode("utf-16"), "not UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"1" * 5000, "digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBody, match=reason):
        parse_json(body)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_json(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a": 1, "a": 1}', "a"),
        (b'{"b": {"a": 1, "c": 2, "\\u0061": 3}}', "b.a"),
        (b'{"layers": [{}, {"a": {"x": 1, "x": 2}, "a": {}}]}', "layers.1.a"),
        (b'{"a": {}, "b": [0, [{"x.y": 1, "x.y": 2}]]}', 'b.1.0["x.y"]'),
    ],
)
def test_a_member_named_twice_is_a_fault_at_its_place(body: bytes, path: str) -> None:
    with pytest.raises(SpecError, match="twice") as caught:
        parse_json(body)
    assert [fault.path for fault in caught.value.faults] == [path]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a": [0, {"b": "x\\ud800"}]}', "a.1.b"),
        (b'{"a": [{"\\udfff": 1}]}', "a.0"),
        (b'{"ok": "\\ud83d\\ude00", "c": "\\udc00"}', " c "),
    ],
)
def test_half_of_a_surrogate_pair_is_told_with_its_place(body: bytes, path: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_json(body)
    assert path in str(caught.value)


def test_a_number_too_long_is_told_without_words_of_python_s() -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_json(b'{"a": ' + b"9" * 5000 + b"}")
    assert str(caught.value) == "a whole number has more than 4300 digits"
