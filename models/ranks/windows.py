"""Window: the part of a tensor that a process holds, as runs of contiguous elements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seedpoint.models.generation.parts import Runs
from seedpoint.models.ranks.placements import Indices, Shape, count, whole


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

    @property
    def row_elements(self) -> int:
        return sum(last - first for first, last in self.row)

    def rows(self, first: int, last: int) -> Iterator[Runs]:
        """Yield the runs of the rows [first, last): one for each of `row`."""
        number = np.arange(first, last, dtype=np.int64)
        offsets = np.zeros(last - first, np.int64)
        for indices, stride in reversed(self.outer):
            number, at = np.divmod(number, count(indices))
            offsets += _nth(indices, at) * stride
        low = 0
        for begin, end in self.row:
            yield low, low + end - begin, offsets + begin
            low += end - begin


def _nth(indices: Indices, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the indices at these places."""
    ends = np.cumsum([len(part) for part in indices])
    shifts = np.array([part.stop for part in indices]) - ends
    found: npt.NDArray[np.int64] = at + shifts[np.searchsorted(ends, at, "right")]
    return found
