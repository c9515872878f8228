"""Headers that say nothing sound, one clear line each."""

from __future__ import annotations

import json
import struct
import tracemalloc
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from seedpoint.models.verify.header import (
    STRING_OR_OPENING,
    FileFault,
    Header,
    head_bytes,
    metadata_alone,
    parse,
)
from seedpoint.models.verify.stated_plan import metadata_of, stated
from tests.support.verifying import with_header

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def entry(*offsets: int, shape: Any = (1,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read(data: bytes) -> Header:
    return parse(data[: head_bytes(data[:8], len(data))], len(data))


FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has 0 bytes"),
    "short": (b"1234567", "has 7 bytes"),
    "length 2^63": (struct.pack("<Q", 2**63) + b"{}", "9,223,372,036,854,775,808 bytes"),
    "length 2^64 - 1": (b"\xff" * 8 + b"{}", "at most 100,000,000"),
    "beyond the file": (struct.pack("<Q", 99) + b"{}", "truncated, or not a safetensors file"),
    "beyond 100 MB": (struct.pack("<Q", 100_000_001), "at most 100,000,000"),
    "no bytes": (with_header(b""), "not JSON"),
    "not JSON": (with_header(b"{"), "not JSON"),
    "not UTF-8": (with_header(b'{"\xff": 1}'), "not UTF-8 at byte 10"),
    "a list": (with_header([]), "not a JSON object"),
    "deep": (with_header(b"[" * 1_000_000), "nests too deep"),
    "deep objects": (with_header(b'{"a":' * 1_000_000), "nests too deep"),
    "NaN": (with_header(b'{"a": NaN}'), "NaN is not a JSON number"),
    "a long number": (with_header(b'{"a": %s}' % (b"9" * 5000)), "beyond 64 bits"),
    "half a pair": (with_header(b'{"\\ud800": {}}'), "surrogate"),
    "names twice": (with_header(b'{"a": {}, "a": {}}'), "has 'a' twice"),
    "entries twice": (with_header(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "'dtype' twice"),
    "metadata twice": (with_header(b'{"__metadata__": {"x": "", "x": ""}}'), "has 'x' twice"),
    "metadata, a list": (with_header({"__metadata__": []}), "not an object of strings"),
    "metadata of numbers": (with_header({"__metadata__": {"a": 1}}), "not an object of strings"),
    "a number for a tensor": (with_header({"a": 1}), "not {dtype, shape, data_offsets}"),
    "more of a tensor": (with_header({"a": F32 | {"x": 1}}), "not {dtype, shape, data_offsets}"),
    "no such dtype": (with_header({"a": entry(0, 4, dtype="F31")}), "'F31' is not a dtype"),
    "a list for a dtype": (with_header({"a": entry(0, 4, dtype=["F32"])}), "is not a dtype"),
    "negative shape": (with_header({"a": entry(0, 4, shape=[-1])}), "is not a shape"),
    "shape of floats": (with_header({"a": entry(0, 4, shape=[1.0])}), "is not a shape"),
    "shape of bools": (with_header({"a": entry(0, 4, shape=[True])}), "is not a shape"),
    "shape that overflows": (
        with_header({"a": entry(0, 4, shape=[2**62, 2**62])}), "takes 8507059173"),
    "many dimensions": (with_header({"a": entry(0, 4, shape=[1] * 100_000)}), "is not a shape"),
    "negative offsets": (with_header({"a": entry(-4, 0)}), "not data_offsets"),
    "offsets beyond 64 bits": (with_header({"a": entry(0, 2**63)}), "not data_offsets"),
    "three offsets": (with_header({"a": entry(0, 4, 8)}), "not data_offsets"),
    "offsets reversed": (with_header({"a": entry(4, 0)}, b"1234"), "-4 bytes apart"),
    "another length": (with_header({"a": entry(0, 8)}, b"12345678"), "8 bytes apart"),
    "beyond the end": (with_header({"a": entry(0, 4)}, b"123"), "truncated: 'a' ends at byte 4"),
    "overlap": (with_header({"a": entry(0, 4), "b": entry(2, 6)}, b"123456"), "overlap"),
    "the same bytes": (with_header({"a": entry(0, 4), "b": entry(0, 4)}, b"1234"), "overlap"),
    "a gap": (with_header({"a": entry(0, 4), "b": entry(6, 10)}, b"1" * 10), "belong to no tensor"),
    "a gap before": (with_header({"a": entry(4, 8)}, b"1" * 8), "bytes 0 to 4 after the header"),
    "padded": (with_header({"a": entry(0, 4)}, b"12345"), "padded: 1 bytes"),
    "no tensors, but bytes": (with_header({}, b"1"), "padded: 1 bytes"),
    "ordinary": (with_header({"a": entry(0, 4)}, b"1234"), "not written by Seedpoint"),
    "no tensors": (with_header({}), "not written by Seedpoint"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_sound_header_is_said_in_one_line(name: str) -> None:
    data, message = FAULTS[name]
    with pytest.raises(FileFault) as caught:
        stated(read(data).metadata)
    found = str(caught.value)
    assert message in found and found.isprintable() and len(found) < 700


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(with_header))
def test_no_bytes_are_taken_for_a_checkpoint_or_break_the_reader(data: bytes) -> None:
    with pytest.raises(FileFault):
        stated(read(data).metadata)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@settings(max_examples=200)
@given(JSON, st.sampled_from(["__metadata__", "a"]), st.binary(max_size=8))
def test_no_json_is_taken_for_a_checkpoint_or_breaks_the_reader(
    value: Any, key: str, data: bytes
) -> None:
    made = with_header({key: value}, data)
    with pytest.raises(FileFault):
        stated(read(made).metadata)


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'["",'])
def test_a_header_that_would_take_much_memory_is_refused_before_it_does(
    unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedpoint.models.verify.header.MAX_CONTAINERS", 10_000)
    data = with_header(b'{"a":[' + unit * 20_000)
    tracemalloc.start()
    with pytest.raises(FileFault, match="more than 10,000 lists and objects"):
        parse(data, len(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(data)


@pytest.mark.parametrize("stop", [b'"', b"", b"\\"])
def test_a_string_is_passed_over_once_and_without_memory(
    stop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedpoint.models.verify.header.MAX_CONTAINERS", 10)
    text = b'{"a":"' + b'\\"[' * 20_000 + stop
    seen = [len(match[0]) for match in STRING_OR_OPENING.finditer(text.decode())]
    assert seen == [1, 3, 60_001 + len(stop)]
    with pytest.raises(FileFault, match="is not JSON"):
        parse(with_header(text), len(text) + 8)


def test_brackets_within_strings_are_no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seedpoint.models.verify.header.MAX_CONTAINERS", 10)
    data = with_header({"__metadata__": {'\\"[': '["{' * 20}, "a": entry(0, 4)}, b"1234")
    assert set(parse(data[:-4], len(data)).tensors) == {"a"}


# --- long headers --------------------------------------------------------------------


@pytest.fixture
def all_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """No header is parsed whole."""
    monkeypatch.setattr("seedpoint.models.verify.stated_plan.LONG_BYTES", 0)

    def never(*_: object) -> Header:
        raise AssertionError("was parsed")

    monkeypatch.setattr("seedpoint.models.verify.stated_plan.parse", never)


@pytest.mark.usefixtures("all_long")
@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 1000, b'{"a":' * 1000, b'{"a": "seedpoint.id"}', b'{"seedpoint.id":{}}'],
)
def test_a_long_header_of_somebody_elses_is_told_without_being_parsed(text: bytes) -> None:
    data = with_header(text)
    with pytest.raises(FileFault, match="not written by Seedpoint"):
        stated(metadata_of(data, len(data)))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": "b"},
        {"seedpoint.id": '{"__metadata__":{"a":"b"}', "c": '\\"},{'},
        {"é\U0001f331": "\ud7ff\u2028", "": ""},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_", [True, False])
def test_metadata_alone_is_what_the_whole_header_says(
    metadata: dict[str, str], indent: int | None, ascii_: bool
) -> None:
    document = {',"__metadata__":{': F32, "__metadata__": metadata, "a": entry(4, 8)}
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_).encode()
    data = with_header(text, b"12345678")
    assert metadata_alone(data[:-8]) == parse(data[:-8], len(data)).metadata == metadata


@pytest.mark.usefixtures("all_long")
@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"[", "not an object of strings"),
        (b'{"seedpoint.id":[[[[', "not an object of strings"),
        (b'{"seedpoint.id":1}', "not an object of strings"),
        (b'{"seedpoint.id":"x}', "not an object of strings"),
        (b'{"seedpoint.id":"\xff"}', "not UTF-8 at byte 41"),
        (b'{"seedpoint.id":"\n"}', "is not JSON"),
        (b'{"seedpoint.id":"x",}', "is not JSON"),
        (b'{"seedpoint.id":"" "":""}', "is not JSON"),
        (b'{"seedpoint.id":"","seedpoint.id":""}', "twice in one object"),
        (b'{"seedpoint.id":"\\ud800"}', "surrogate"),
        (b'{"seedpoint.id":"x"}', "a later shard of checkpoint 'x'"),
    ],
)
def test_metadata_that_is_unsound_is_told_of_a_long_header_too(said: bytes, message: str) -> None:
    data = with_header(b'{"__metadata__":' + said + (b' ,"seedpoint.id":' * 2))
    with pytest.raises(FileFault, match=message):
        stated(metadata_of(data, len(data)))
