"""Window: the part of a tensor that a process holds, as runs of contiguous elements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from seedpoint.models.ranks.placements import Indices, Shape, count, whole


class Runs(Protocol):
    """Elements of a tensor in a given order, as runs that are contiguous in the tensor.

    `models.files.slices.Slice` is one too.
    """

    @property
    def shape(self) -> Shape: ...
    @property
    def numel(self) -> int: ...

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield the runs of elements [start, stop) of this part, as (start, stop) in the whole."""


@dataclass(frozen=True, slots=True)
class Window:
    """Elements of a row-major tensor at every combination of some indices of its dimensions.

    `shape` is the shape of these elements as a tensor of their own, whose row-major order they
    have. A row is the elements that share all indices of the `outer` dimensions (indices and stride
    in elements); it consists of `row`, runs in the tensor relative to the row's offset.
    """

    shape: Shape
    outer: tuple[tuple[Indices, int], ...]
    row: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, shape: Shape, indices: Sequence[Indices]) -> Window:
        """Return the window of `indices`, one for each dimension of a tensor of `shape`."""
        inner, dim = 1, len(shape)
        while dim and indices[dim - 1] == whole(shape[dim - 1]):
            dim -= 1
            inner *= shape[dim]
        # Dimensions from `dim` on are whole; dimension `dim - 1` is cut, and its ranges are runs.
        cut = indices[dim - 1] if dim else (range(1),)
        outer, stride = [], inner * (shape[dim - 1] if dim else 1)
        for at in reversed(range(max(dim - 1, 0))):
            outer.append((indices[at], stride))
            stride *= shape[at]
        local = tuple(map(count, indices))
        row = tuple((part.start * inner, part.stop * inner) for part in cut if inner)
        return cls(local, tuple(reversed(outer)), row)

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield the runs of elements [start, stop) of the window, as (start, stop) in the tensor.

        Runs that meet are not joined, except within a row.
        """
        stop = self.numel if stop is None else stop
        ends = list(accumulate((last - first for first, last in self.row), initial=0))
        size = ends[-1]
        for number in range(start // size, -(-stop // size)) if start < stop else ():
            offset = self._offset(number)
            for (first, last), (low, high) in zip(self.row, pairwise(ends), strict=True):
                skipped = max(start - number * size - low, 0)
                left = max(number * size + high - stop, 0)
                if skipped + left < last - first:
                    yield offset + first + skipped, offset + last - left

    def _offset(self, number: int) -> int:
        """Return the place in the tensor of the row with this number."""
        offset = 0
        for indices, stride in reversed(self.outer):
            number, at = divmod(number, count(indices))
            offset += _nth(indices, at) * stride
        return offset


def _nth(indices: Indices, at: int) -> int:
    for part in indices:
        if at < len(part):
            return part[at]
        at -= len(part)
    raise IndexError(at)
