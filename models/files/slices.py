"""Slices of a tensor in URL notation (`0:128,:`), without the rest of the tensor.

A slice is a shape and the runs of contiguous elements of the row-major whole that form it, in
order. Only these runs are generated.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType

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

    @property
    def row_elements(self) -> int:
        return self.run_elements

    def rows(self, first: int, last: int) -> Iterator[tuple[int, int, npt.NDArray[np.int64]]]:
        """Yield the runs [first, last): their place in a row, which is whole, and their starts."""
        run = np.arange(first, last, dtype=np.int64)
        starts = np.full(last - first, self.offset, np.int64)
        for count, stride in reversed(self.axes):
            run, at = np.divmod(run, count)
            starts += at * stride
        yield 0, self.run_elements, starts

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


Index = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]
"""Python's index of a tensor: integers, slices and at most one `...`."""


def index_slice(index: Index, shape: tuple[int, ...]) -> Slice:
    """Return the slice `tensor[index]` of a row-major tensor of `shape`.

    Unlike in Python, a slice may not begin or end outside its axis.

    Raises:
        IndexError: A member is outside its axis, or the members outnumber the axes.
        ValueError: The step of a slice is not 1 or more.
        TypeError: A member is neither an integer, a slice nor `...`.
    """
    members = list(index) if isinstance(index, tuple) else [index]
    gaps = [place for place, member in enumerate(members) if member is Ellipsis]
    if len(gaps) > 1:
        raise IndexError("an index may have one ellipsis ('...')")
    missing = len(shape) + len(gaps) - len(members)
    if missing < 0:
        raise IndexError(
            f"index has {len(members) - len(gaps)} members for {len(shape)} axes; "
            f"the tensor's shape is {list(shape)}"
        )
    gap = gaps[0] if gaps else len(members)
    members[gap : gap + len(gaps)] = [slice(None)] * missing
    picks = [_python_pick(member, axis, shape[axis]) for axis, member in enumerate(members)]
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


def _python_pick(member: object, axis: int, size: int) -> _Pick:
    if isinstance(member, slice):
        step = 1 if member.step is None else operator.index(member.step)
        if step < 1:
            raise ValueError(f"index axis {axis}: the step must be 1 or more, not {step}")
        for end in (member.start, member.stop):
            if end is not None and not -size <= operator.index(end) <= size:
                raise IndexError(
                    f"index axis {axis}: {_shown(member)} is outside the axis, which has {size} "
                    "elements"
                )
        indices = range(size)[member]
        return _Pick(indices.start, len(indices), indices.step, kept=True)
    if isinstance(member, bool) or not hasattr(member, "__index__"):
        raise TypeError(
            f"index axis {axis}: {type(member).__name__} is neither an integer, a slice nor '...'"
        )
    place = operator.index(member)
    if not -size <= place < size:
        raise IndexError(
            f"index axis {axis}: index {place} is outside the axis, which has {size} elements"
        )
    return _Pick(place % size, 1, 1, kept=False)


def _shown(member: slice) -> str:
    ends = (member.start, member.stop, *(() if member.step is None else (member.step,)))
    return ":".join("" if end is None else str(end) for end in ends)


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
