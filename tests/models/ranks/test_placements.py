"""Placements against the arithmetic of DTensor's own classes, and their errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed.tensor import placement_types as theirs

from seedpoint.models.ranks.placements import (
    Placement,
    PlacementError,
    Replicate,
    Shard,
    StridedShard,
    local_indices,
)


def of_torch(
    whole: torch.Tensor, mesh: tuple[int, ...], at: tuple[int, ...], placements: list[Any]
) -> torch.Tensor:
    """The local tensor, cut by each placement's own `_split_tensor`."""
    for size, place, placement in zip(mesh, at, placements, strict=True):
        if not isinstance(placement, theirs.Replicate):
            shards, _ = placement._split_tensor(whole, size, with_padding=False, contiguous=False)
            whole = shards[place]
    return whole


def ours(placement: Any) -> Placement:
    if isinstance(placement, theirs.Replicate):
        return Replicate()
    if isinstance(placement, theirs._StridedShard):
        return StridedShard(placement.dim, placement.split_factor)
    return Shard(placement.dim)


@st.composite
def cases(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[Any]]:
    shape = tuple(draw(st.lists(st.integers(0, 13), min_size=1, max_size=3)))
    mesh = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    at = tuple(draw(st.integers(0, size - 1)) for size in mesh)
    dims = st.integers(0, len(shape) - 1)
    shard = st.builds(theirs.Shard, dims)
    strided = st.builds(
        lambda dim, factor: theirs._StridedShard(dim, split_factor=factor), dims, st.integers(1, 4)
    )
    placements = [draw(st.one_of(st.just(theirs.Replicate()), shard, strided)) for _ in mesh]
    return shape, mesh, at, placements


@given(cases())
def test_the_local_elements_are_those_of_dtensor(
    case: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[Any]],
) -> None:
    shape, mesh, at, placements = case
    whole = torch.arange(torch.Size(shape).numel()).view(shape)
    expected = of_torch(whole, mesh, at, placements)
    found = whole
    for dim, indices in enumerate(local_indices(shape, mesh, at, list(map(ours, placements)))):
        assert all(len(part) and part.step == 1 for part in indices)
        chosen = torch.tensor([place for part in indices for place in part], dtype=torch.int64)
        found = found.index_select(dim, chosen)
    assert found.flatten().tolist() == expected.flatten().tolist()


def test_a_mesh_of_a_thousand_million_ranks_costs_nothing() -> None:
    mesh = (10**6, 10**3)
    found = local_indices((8192, 4096), mesh, (5, 999), [Shard(0), StridedShard(1, 10**9)])
    assert found == ((range(5, 6),), ())
    assert local_indices((10**12,), (10**9,), (10**9 - 1,), [Shard(0)]) == (
        (range(10**12 - 1000, 10**12),),
    )


@pytest.mark.parametrize(
    ("mesh", "at", "placements", "words"),
    [
        ((2, 2), (0, 0), [Shard(0)], "1 placements for a mesh of 2 dimensions"),
        ((2,), (0, 0), [Shard(0)], r"coordinate \[0, 0\] has 2 numbers"),
        ((2,), (2,), [Shard(0)], r"coordinate \[2\] is outside the mesh \[2\]"),
        ((2,), (-1,), [Shard(0)], "is outside the mesh"),
        ((2,), (0,), [Shard(2)], r"Shard\(2\) cuts dimension 2 of a tensor of shape \[4, 4\]"),
        ((2,), (0,), [StridedShard(0, 0)], "needs a split_factor of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    mesh: tuple[int, ...], at: tuple[int, ...], placements: list[Placement], words: str
) -> None:
    with pytest.raises(PlacementError, match=words):
        local_indices((4, 4), mesh, at, placements)


def test_a_negative_dimension_counts_from_the_end() -> None:
    assert local_indices((4, 6), (2,), (1,), [Shard(-1)]) == ((range(4),), (range(3, 6),))
