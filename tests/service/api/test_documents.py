"""JSON from strangers: read strictly, refused with a reason, never a crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.errors import SpecError
from seedpoint.service.errors import MalformedBody
from seedpoint.service.planning.strict_json import parse_json

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
        (b'"\xff"', "not UTF-8.*byte 1"),
        ('"é"'.encode("utf-16"), "not UTF-8"),
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
        (b'"\\ud800"', ""),
        (b'{"a": [0, {"b": "x\\ud800"}]}', "a.1.b"),
        (b'{"a": [{"\\udfff": 1}]}', 'a.0["\\udfff"]'),
        (b'{"ok": "\\ud83d\\ude00", "c": "\\udc00"}', "c"),
    ],
)
def test_half_of_a_surrogate_pair_is_a_fault_at_its_place(body: bytes, path: str) -> None:
    assert paths_of(body, "half of a surrogate pair") == [path]


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_a_fault_at_its_place(name: str) -> None:
    body = f'{{"rules": [{{"std": 1}}, {{"std": {name}}}], "seed": {name}}}'
    said = f"{name} is not a JSON number; expected a finite number"
    assert paths_of(body.encode(), said) == ["rules.1.std", "seed"]
    assert paths_of(name.encode(), said) == [""]


def test_a_number_too_long_is_a_fault_at_its_place_without_words_of_python_s() -> None:
    body = b'{"init": {"seed": -' + b"9" * 5000 + b"}}"
    assert paths_of(body, "expected a whole number of at most 4300 digits") == ["init.seed"]


def test_of_many_faults_some_are_told() -> None:
    assert len(paths_of(b"[" + b"NaN," * 10_000 + b"1]", "NaN")) == 100


def paths_of(body: bytes, message: str) -> list[str]:
    """Paths of the faults of a document; each message contains `message`."""
    with pytest.raises(SpecError) as caught:
        parse_json(body)
    assert all(message in fault.message for fault in caught.value.faults)
    return [fault.path for fault in caught.value.faults]
