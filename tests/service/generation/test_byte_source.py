"""Contract of byte sources, which every kind of source keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.files.layout import layout
from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.chunks import Observed
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.generation.byte_source import ByteSource
from seedpoint.service.generation.bytes_source import BytesSource
from seedpoint.service.generation.parts_source import PartsFile
from seedpoint.service.statistics.passes import ObservedFile, gathering

FILE = "model.safetensors"
PLACE = st.integers(0, 1 << 30)  # Taken modulo the number of places between bytes.
ROWS, COLUMNS = 300, 2 * BLOCK_ELEMENTS // 300
SPEC: dict[str, Any] = {
    "architecture": {
        "type": "tensors",
        "tensors": [
            {"name": "a", "shape": [7], "dtype": "bfloat16"},
            {"name": "b", "shape": [ROWS, COLUMNS], "dtype": "float32"},
            {"name": "o", "shape": [40, 30], "dtype": "float32"},
        ],
    },
    "init": {
        "rules": [
            {"match": {"name": "o"}, "initializer": {"type": "orthogonal"}},
            {"match": {}, "initializer": {"type": "normal"}},
        ]
    },
}


def issued() -> Checkpoint:
    planned = make_plan(parse_spec(SPEC))
    plan = planned.plan
    return Checkpoint(plan.id, plan, layout(plan), Evaluator(plan, planned.blobs))


def sliced(name: str, text: str) -> ByteSource:
    checkpoint = issued()
    tensor = checkpoint.indices[name]
    picked = parse_slice(text, checkpoint.plan.tensors[tensor].shape)
    etag = checkpoint.etag(f"{name}/{text}")
    return PartsFile.of([TensorPart(checkpoint.evaluator, tensor, picked, name)], etag=etag)


def observed() -> ByteSource:
    checkpoint = issued()
    file = checkpoint.file(FILE)
    watching = Observed(checkpoint.evaluator, gathering(checkpoint))
    return ObservedFile(checkpoint, file.file, file.etag, watching)


SOURCES: dict[str, Callable[[], ByteSource]] = {
    "file": lambda: issued().file(FILE),
    "observed file": observed,
    "rows": lambda: sliced("b", "3:200"),
    "columns": lambda: sliced("b", ":,1::3"),
    "whole tensor": lambda: sliced("o", "5:,::2"),
    "bytes": lambda: BytesSource(bytes(range(256)) * 1024, '"tag"'),
}


def read(source: ByteSource, spans: list[tuple[int, int]]) -> bytes:
    out = np.empty(sum(stop - start for start, stop in spans), np.uint8)
    base = spans[0][0] if spans else 0
    for start, stop in spans:
        source.read(start, stop, out[start - base : stop - base])
    return out.tobytes()


@pytest.fixture(scope="module", params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache  # An argument of a test would be shown in full by Hypothesis.
def whole_of(kind: str) -> bytes:
    source = SOURCES[kind]()
    return read(source, list(source.cuts(0, source.size_bytes, 1 << 20)))


@given(first=PLACE, second=PLACE, nbytes=st.integers(1, 3 << 20))
def test_cuts_are_the_span_in_order(kind: str, first: int, second: int, nbytes: int) -> None:
    source = SOURCES[kind]()
    start, stop = sorted(place % (source.size_bytes + 1) for place in (first, second))
    at = start
    for first, last in source.cuts(start, stop, max(nbytes, (stop - start) // 50)):
        assert first == at < last <= stop
        at = last
    assert at == stop


@given(nbytes=st.integers(1 << 12, 3 << 20))
def test_the_bytes_do_not_depend_on_the_cuts(kind: str, nbytes: int) -> None:
    source, whole = SOURCES[kind](), whole_of(kind)
    assert len(whole) == source.size_bytes
    assert read(source, list(source.cuts(0, source.size_bytes, nbytes))) == whole


@given(first=PLACE, second=PLACE)
def test_a_span_is_that_slice_of_the_whole(kind: str, first: int, second: int) -> None:
    whole = whole_of(kind)
    start, stop = sorted(place % (len(whole) + 1) for place in (first, second))
    if kind != "observed file":  # It is read by its cuts alone.
        assert read(SOURCES[kind](), [(start, stop)]) == whole[start:stop]


@pytest.mark.parametrize("start", range(5))
def test_a_span_may_begin_inside_the_head_and_end_with_an_element(start: int) -> None:
    whole = whole_of("rows")
    assert read(SOURCES["rows"](), [(start, len(whole))]) == whole[start:]


def test_an_entity_tag_is_strong_and_always_the_same(kind: str) -> None:
    first, second = SOURCES[kind]().etag, SOURCES[kind]().etag
    assert first == second
    assert first[0] == first[-1] == '"'


def test_the_whole_tensors_of_a_span_are_among_those_of_the_source(kind: str) -> None:
    source = SOURCES[kind]()
    size = source.size_bytes
    kinds = {whole.kind for whole in source.whole_tensors(0, size)}
    assert kinds == (set() if kind in ("rows", "columns", "bytes") else {"orthogonal"})
    assert set(source.whole_tensors(size - 1, size)) <= set(source.whole_tensors(0, size))
    assert not source.whole_tensors(0, 1)  # The header.


def test_a_small_span_of_a_file_is_light() -> None:
    assert {name: make().is_light for name, make in SOURCES.items() if make().is_light} == {
        "file": True,
        "bytes": True,
    }
