"""Slices of a tensor in URL notation (`0:128,:`), without the rest of the tensor.

A slice is a shape and the runs of contiguous elements of the row-major whole that form it, in
order. Only these runs are generated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_INDEX = re.compile(r"-?[0-9]{1,18}")
_RANGE = re.compile(r"(-?[0-9]{1,18})?:(-?[0-9]{1,18})?(?::([0-9]{1,18})?)?")


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a tensor: its `shape`, and the positions of its elements in the whole tensor.

    Its elements, in row-major order, are runs of `run_elements` each. The first run begins at
    element `offset` of the whole; `axes` are the (count, stride in elements) that lead to further
    runs, outermost first.
    """

    shape: tuple[int, ...]
    offset: int
    axes: tuple[tuple[int, int], ...]
    run_elements: int

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield the runs of elements [start, stop) of the slice, as (start, stop) in the whole."""
        stop = self.numel if stop is None else stop
        if not 0 <= start <= stop <= self.numel:
            raise ValueError(
                f"elements [{start}, {stop}) are not within the slice; it has [0, {self.numel})"
            )
        return self._runs(start, stop)

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        while start < stop:
            run, skipped = divmod(start, self.run_elements)
            length = min(self.run_elements - skipped, stop - start)
            first = self._run_offset(run) + skipped
            yield first, first + length
            start += length

    def starts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Return the first index in the whole of each of the runs [first, last)."""
        run = np.arange(first, last, dtype=np.int64)
        found = np.full(last - first, self.offset, np.int64)
        for count, stride in reversed(self.axes):
            run, at = np.divmod(run, count)
            found += at * stride
        return found

    def _run_offset(self, run: int) -> int:
        offset = self.offset
        for count, stride in reversed(self.axes):
            run, at = divmod(run, count)
            offset += at * stride
        return offset


def parse_slice(text: str, shape: tuple[int, ...]) -> Slice:
    """Return the slice `text` of a row-major tensor of `shape`, by NumPy's basic rules.

    Members are separated by commas, one for each axis: an index, which drops its axis, or
    start:stop:step, with any of them optional and a step of 1 or more. Negative numbers count from
    the end, and ranges are clamped to the axis. Axes without a member are whole, and so is a tensor
    without any member. Blanks around members are ignored.

    Raises:
        ValueError: A member has neither form, an index is outside its axis, or the members
            outnumber the axes.
    """
    members = [member.strip(" ") for member in text.split(",")] if text.strip(" ") else []
    if len(members) > len(shape):
        raise ValueError(
            f"slice has {len(members)} members for {len(shape)} axes; "
            f"the tensor's shape is {list(shape)}"
        )
    members += [":"] * (len(shape) - len(members))
    picks = [_pick(member, axis, shape[axis]) for axis, member in enumerate(members)]
    return _slice(picks, shape)


def rectangle(offsets: Sequence[int], sizes: Sequence[int], shape: tuple[int, ...]) -> Slice:
    """Return the part of a row-major tensor of `shape` that begins at `offsets` and has `sizes`."""
    picks = [_Pick(start, count, 1, kept=True) for start, count in zip(offsets, sizes, strict=True)]
    return _slice(picks, shape)


@dataclass(frozen=True, slots=True)
class _Pick:
    """Elements start, start + step, ... of one axis; `kept` says that the axis stays."""

    start: int
    count: int
    step: int
    kept: bool


def _pick(member: str, axis: int, size: int) -> _Pick:
    if _INDEX.fullmatch(member):
        index = int(member)
        if not -size <= index < size:
            raise ValueError(
                f"slice axis {axis}: index {index} is outside the axis; "
                + (f"it has {-size} to {size - 1}" if size else "it has no elements")
            )
        return _Pick(index % size, 1, 1, kept=False)
    match = _RANGE.fullmatch(member)
    if match is None or (match[3] and int(match[3]) == 0):
        raise ValueError(
            f"slice axis {axis}: {member[:40]!r} is neither an index nor start:stop:step "
            "with a step of 1 or more, such as 5, 0:128, -3: or ::2"
        )
    start, stop, step = (int(part) if part else None for part in match.groups())
    indices = range(size)[start:stop:step]
    return _Pick(indices.start, len(indices), indices.step, kept=True)


def _slice(picks: list[_Pick], shape: tuple[int, ...]) -> Slice:
    offset, stride, run = 0, 1, 1
    axes: list[tuple[int, int]] = []
    for pick, size in zip(reversed(picks), reversed(shape), strict=True):
        offset += pick.start * stride
        # A run continues through an axis while all the axes inside it are whole.
        if run == stride and (pick.step == 1 or pick.count == 1):
            run *= pick.count
        elif pick.count != 1:
            axes.append((pick.count, pick.step * stride))
        stride *= size
    kept = tuple(pick.count for pick in picks if pick.kept)
    return Slice(kept, offset, tuple(reversed(axes)), run)
