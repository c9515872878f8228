"""Chunks that cover every tensor once, in files that are found by name."""

from __future__ import annotations

import io
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.dcp.directory import METADATA, DcpDirectory, chunk_file_name
from seedpoint.models.files.dcp.grid import MAX_CHUNKS, Grid, GridError
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Constant, Program


def tensor(name: str, *shape: int, dtype: str = "float32", **more: Any) -> PlanTensor:
    return PlanTensor(name, shape, BY_NAME[dtype], "parameter", "", Program(Constant(0)), **more)


shapes = st.lists(st.integers(0, 9), max_size=4).map(tuple)
grids = st.builds(Grid, st.integers(1, 6), st.integers(1, 6)) | st.none()


@given(st.lists(shapes, min_size=1, max_size=4), grids)
def test_the_chunks_of_a_tensor_hold_every_element_once(
    found: list[tuple[int, ...]], grid: Grid | None
) -> None:
    tensors = [tensor(f"t{index}", *shape) for index, shape in enumerate(found)]
    directory = DcpDirectory(tensors, grid=grid)
    names = [name for name in directory.file_names() if name != METADATA]
    assert len(names) == len(directory)
    numbers = iter(names)
    for index, each in enumerate(tensors):
        whole = np.arange(each.numel).reshape(each.shape)
        seen = np.zeros(each.shape, int)
        for chunk in directory.chunks(index):
            part = tuple(slice(o, o + s) for o, s in zip(chunk.offsets, chunk.sizes, strict=True))
            seen[part] += 1
            file = directory.file(next(numbers))
            assert file is not None
            assert (file.tensor, file.window.shape) == (index, chunk.sizes)
            elements = [i for run in file.window.runs() for i in range(*run)]
            assert elements == whole[part].reshape(-1).tolist()
        assert (seen == 1).all()
    assert next(numbers, None) is None


def test_a_files_head_and_tail_are_those_of_its_chunk() -> None:
    file = DcpDirectory([tensor("w", 4, 6)], grid=Grid(2, 3)).file("__3_0.distcp")
    assert file is not None
    raw = file.head + bytes(file.data_bytes) + file.tail
    assert len(raw) == file.size_bytes
    assert torch.equal(torch.load(io.BytesIO(raw), weights_only=True), torch.zeros(2, 2))


def test_files_are_numbered_by_tensor_and_then_row_by_row() -> None:
    directory = DcpDirectory([tensor("a", 2), tensor("b", 2, 2)], grid=Grid(2, 2))
    assert list(directory.file_names()) == [METADATA, *map(chunk_file_name, range(6))]
    assert [directory.first_file(index) for index in range(2)] == [0, 2]
    assert [chunk.offsets for chunk in directory.chunks(1)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    "name",
    [
        *("__6_0.distcp", "__06_0.distcp", "__0_1.distcp", "__0_0.distcp ", "0", ""),
        *(METADATA, "__0_0.distcp\n", f"__{10**30}_0.distcp", "__٣_0.distcp", "__-1_0.distcp"),
    ],
)
def test_another_name_is_no_chunk(name: str) -> None:
    directory = DcpDirectory([tensor("a", 2), tensor("b", 2, 2)], grid=Grid(2, 2))
    assert directory.file(name) is None


def test_names_include_aliases_and_are_replaced_where_given() -> None:
    tensors = [tensor("a", 2, aliases=("b", "c"))]
    directory = DcpDirectory(tensors, names={"a": "x", "c": "z"})
    assert directory.names(0) == ("x", "b", "z")


def test_too_many_chunks_are_refused_each_counted_under_every_name() -> None:
    matrix = tensor("a", 1024, 1024)
    assert len(DcpDirectory([matrix], grid=Grid(256, 512))) == MAX_CHUNKS
    with pytest.raises(GridError, match=rf"grid 256x1024 gives more than {MAX_CHUNKS} chunks"):
        DcpDirectory([matrix], grid=Grid(256, 1024))
    twice = tensor("a", 1024, 1024, aliases=("b",))
    with pytest.raises(GridError, match="grid 256x512"):
        DcpDirectory([twice], grid=Grid(256, 512))


def test_one_chunk_for_each_tensor_is_always_allowed() -> None:
    tensors = [tensor(f"t{number}") for number in range(3)]
    tensors.append(tensor("tied", 8, aliases=tuple(f"a{number}" for number in range(MAX_CHUNKS))))
    assert len(DcpDirectory(tensors, grid=Grid(1, 1))) == 4
    assert len(DcpDirectory(tensors)) == 4


def test_a_directory_without_tensors_has_its_metadata_alone() -> None:
    assert list(DcpDirectory([]).file_names()) == [METADATA]


def test_the_size_is_that_of_all_files() -> None:
    directory = DcpDirectory([tensor("a", 5), tensor("b", 3, 7, dtype="int8")], grid=Grid(2, 2))
    files = [directory.file(name) for name in directory.file_names()]
    assert directory.size_bytes == sum(file.size_bytes for file in files if file is not None)
