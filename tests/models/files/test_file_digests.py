"""Digests of a file and its tensors, of bytes that pass once."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.file_digests import FileDigests
from seedpoint.models.files.layout import Layout
from tests.models.files.test_layout import Tensor

FILE = Layout.of(
    [
        Tensor("b", BY_NAME["float32"], (5, 3)),
        Tensor("a", BY_NAME["bfloat16"], (7,)),
        Tensor("empty", BY_NAME["float32"], (0,)),
        Tensor("tied", BY_NAME["int64"], (4,), ("copy",)),
    ],
    metadata={"format": "pt"},
    ties="each",
).files["model.safetensors"]
CONTENT = hashlib.shake_256(b"content").digest(FILE.size_bytes)


@given(st.lists(st.integers(0, FILE.size_bytes), max_size=12))
def test_any_chunks_give_the_digests_of_the_whole_and_its_tensors(ends: list[int]) -> None:
    digests, at = FileDigests(FILE), 0
    for end in [*sorted(ends), FILE.size_bytes]:
        digests.update(memoryview(CONTENT)[at:end])
        at = end
    assert digests.whole == hashlib.sha256(CONTENT).hexdigest()
    assert digests.tensors == {
        entry.name: hashlib.sha256(CONTENT[entry.start_byte : entry.stop_byte]).hexdigest()
        for entry in FILE.entries
    }
    assert set(digests.tensors) == {"a", "b", "empty", "tied", "copy"}


def test_digests_of_a_part_are_none() -> None:
    digests = FileDigests(FILE)
    digests.update(CONTENT[:-1])
    with pytest.raises(ValueError, match="bytes of model"):
        _ = digests.whole
    with pytest.raises(ValueError, match="bytes of model"):
        _ = digests.tensors
