"""Cuts at which DTensor shards a dimension, and the default grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.files.dcp.grid import (
    CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_PARTS,
    Grid,
    GridError,
    count,
    cuts,
    default_grids,
)


@dataclass(frozen=True)
class Sized:
    shape: tuple[int, ...]
    dtype: DType = BY_NAME["bfloat16"]
    name: str = "w"
    aliases: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@given(size=st.integers(1, 300), parts=st.integers(1, 24), data=st.data())
def test_a_shard_of_every_mesh_that_divides_the_grid_begins_and_ends_at_cuts(
    size: int, parts: int, data: st.DataObject
) -> None:
    ranks = data.draw(st.sampled_from([n for n in range(1, parts + 1) if parts % n == 0]))
    found = cuts(size, parts)
    for shard in torch.arange(size).chunk(ranks):
        assert {int(shard[0]), int(shard[-1]) + 1} <= set(found)


@given(size=st.integers(1, 300), parts=st.integers(1, 24))
def test_cuts_ascend_from_zero_to_the_size(size: int, parts: int) -> None:
    found = cuts(size, parts)
    assert (found[0], found[-1]) == (0, size)
    assert all(first < last for first, last in pairwise(found))


def test_a_dimension_that_the_grid_divides_has_equal_parts_and_no_others() -> None:
    assert cuts(12, 4) == (0, 3, 6, 9, 12)
    assert cuts(10, 4) == (0, 3, 5, 6, 9, 10)
    assert cuts(3, 8) == (0, 1, 2, 3)


def test_rows_and_columns_are_of_the_first_two_dimensions() -> None:
    grid = Grid(2, 4)
    assert grid.cuts((4, 8, 3)) == ((0, 2, 4), (0, 2, 4, 6, 8))
    assert grid.cuts((4,)) == ((0, 2, 4),)
    assert grid.cuts(()) == ()
    assert grid.cuts((4, 0)) == ((0, 4), (0, 0))
    assert count(grid.cuts(())) == count(grid.cuts((4, 0))) == 1


@pytest.mark.parametrize(
    "text", ["", "8", "8x", "x8", "08x8", "0x8", "8x8x8", "-1x2", "8X8", "٣x8"]
)
def test_what_is_not_written_as_a_grid_is_none(text: str) -> None:
    assert Grid.parse(text) is None


def test_a_grid_is_parsed_and_written_alike() -> None:
    assert Grid.parse("16x2") == Grid(16, 2)
    assert str(Grid(16, 2)) == "16x2"


@pytest.mark.parametrize("text", [f"{MAX_PARTS + 1}x1", "1x1000000000"])
def test_a_huge_grid_is_refused(text: str) -> None:
    with pytest.raises(GridError, match=f"{text} is not allowed; .* from 1 to {MAX_PARTS}"):
        Grid.parse(text)


sizes = st.integers(1, 1 << 12)
shapes = st.tuples(sizes) | st.tuples(sizes, sizes) | st.tuples(sizes, sizes, st.integers(1, 64))


@given(shapes)
def test_the_default_grid_is_a_power_of_two_whose_chunks_have_a_mebibyte(
    shape: tuple[int, ...],
) -> None:
    (grid,) = default_grids([Sized(shape)])
    assert grid.rows == grid.columns
    assert grid.rows.bit_count() == 1
    parts = [min(grid.rows, size) for size in shape[:2]]
    assert grid.rows == 1 or Sized(shape).nbytes >= math.prod(parts) * CHUNK_BYTES
    finer = [min(2 * grid.rows, size) for size in shape[:2]]
    assert finer == parts or Sized(shape).nbytes < math.prod(finer) * CHUNK_BYTES


def test_tensors_have_default_grids_of_their_own() -> None:
    found = default_grids([Sized((4096, 4096)), Sized((4096,)), Sized(()), Sized((0, 7))])
    assert found == [Grid(4, 4), Grid(1, 1), Grid(1, 1), Grid(1, 1)]


def test_a_huge_checkpoint_has_larger_chunks_and_a_bounded_number() -> None:
    tensors = [Sized((1 << 20, 1 << 20))] * 100
    grids = default_grids(tensors)
    total = sum(count(grid.cuts(t.shape)) for grid, t in zip(grids, tensors, strict=True))
    assert MAX_CHUNKS // 8 < total <= MAX_CHUNKS
    aliased = [Sized((1 << 13, 1 << 13), aliases=("v",) * MAX_CHUNKS)]
    assert default_grids(aliased) == [Grid(1, 1)]
