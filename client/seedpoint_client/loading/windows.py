"""Windows: the parts of a tensor that this process holds, as slices of the whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

Indices = list[range]
"""Indices along one dimension, in the order of the local tensor: ranges of step 1, none empty."""


class PlacementError(ValueError):
    """Placement of a DTensor that no initial values can have."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rectangle of a tensor: its place in the whole and in the memory of this process."""

    whole: tuple[slice, ...]
    local: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(part.stop - part.start for part in self.whole)

    def pieces(self, most_elements: int) -> Iterator[Window]:
        """Yield the window in pieces of at most `most_elements`, cut along its first dimensions."""
        numel = math.prod(self.shape)
        if numel <= most_elements:
            yield self
            return
        dim = next(dim for dim, size in enumerate(self.shape) if size > 1)
        size = self.shape[dim]
        count = min(size, -(-numel // most_elements))
        ends = [size * number // count for number in range(count + 1)]
        for start, stop in pairwise(ends):
            yield from self._cut(dim, start, stop).pieces(most_elements)

    def _cut(self, dim: int, start: int, stop: int) -> Window:
        def cut(parts: tuple[slice, ...]) -> tuple[slice, ...]:
            first = parts[dim].start
            inner = slice(first + start, first + stop)
            return (*parts[:dim], inner, *parts[dim + 1 :])

        return Window(cut(self.whole), cut(self.local))


def windows_of(value: Tensor) -> list[Window]:
    """Return the windows of the whole tensor that this process holds of `value`.

    Raises:
        PlacementError: The process is not in the mesh, or a placement is not supported.
    """
    return windows(_indices(value))


def windows(indices: Sequence[Indices]) -> list[Window]:
    """Return the windows at every combination of `indices`, one entry for each dimension."""
    placed = [list(_placed(ranges)) for ranges in indices]
    return [
        Window(tuple(whole for whole, _ in parts), tuple(local for _, local in parts))
        for parts in product(*placed)
    ]


def local(value: Any) -> Tensor:
    """Return the memory of `value` in this process, detached from autograd."""
    with torch.no_grad():
        found: Tensor = value.to_local() if is_dtensor(value) else value
        return found.detach()


def is_dtensor(value: Any) -> bool:
    """Return whether `value` is a DTensor; torch.distributed is not imported to find out."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(value, tensors.DTensor)


def _placed(ranges: Indices) -> Iterator[tuple[slice, slice]]:
    """Yield each range as a slice of the whole dimension and of the local one."""
    at = 0
    for part in ranges:
        yield slice(part.start, part.stop), slice(at, at + len(part))
        at += len(part)


def _indices(value: Any) -> list[Indices]:
    indices: list[Indices] = [[range(size)] if size else [] for size in value.shape]
    if not is_dtensor(value):
        return indices
    mesh = value.device_mesh
    coordinate = mesh.get_coordinate()
    if coordinate is None:
        raise PlacementError("this process is not in its mesh")
    kinds = sys.modules["torch.distributed.tensor.placement_types"]
    placed = zip(value.placements, mesh.mesh.shape, coordinate, strict=True)
    for placement, size, place in placed:
        if isinstance(placement, kinds.Replicate):
            continue
        if isinstance(placement, kinds._StridedShard):  # Before Shard, its base in older versions.
            pieces = int(placement.split_factor)
        elif isinstance(placement, kinds.Shard):
            pieces = 1
        else:
            raise PlacementError(
                f"its placement {placement} does not hold elements of the tensor; redistribute it "
                "to Replicate() or Shard(dim) first"
            )
        dim = placement.dim % len(indices)
        indices[dim] = strided(indices[dim], pieces, size, place)
    return indices


def strided(indices: Indices, pieces: int, shards: int, number: int) -> Indices:
    """Return shard `number` of `shards` of each of `pieces`, one after the other.

    FSDP2 over tensor parallelism (`_StridedShard`) cuts a dimension so; one piece is a plain
    `Shard`. Both cuts follow `torch.chunk`.
    """
    return [
        part
        for piece in range(pieces)
        for part in _chunk(_chunk(indices, pieces, piece), shards, number)
    ]


def _chunk(indices: Indices, chunks: int, number: int) -> Indices:
    """Return chunk `number` of `chunks`, by the rule of `torch.chunk`; later ones may be empty."""
    total = sum(map(len, indices))
    size = -(-total // chunks)
    start, stop = number * size, min((number + 1) * size, total)
    found, at = [], 0
    for part in indices:
        low, high = max(start - at, 0), min(stop - at, len(part))
        if low < high:
            found.append(part[low:high])
        at += len(part)
    return found
