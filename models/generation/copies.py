"""Tiles of a copy: parts of another tensor that fit in cache, and their places in the copy.

A copy's element at indices k is the other tensor's element `offset` + the sum of k * `strides`. A
range of the copy is cut into boxes, and a box into tiles along the axes of the other tensor, so
that long runs of it are generated at once, however the copy orders them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seedpoint.models.plan.program import Copy

# Most elements of a CPU's tile: it fits in cache, and torch copies fewer than 2^15 on one thread.
TILE_ELEMENTS = (1 << 15) - 1
PADDING_ELEMENTS = 16  # after each run: runs at powers of two would share few cache lines

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """Axis of a box: its size, and the strides in the other tensor and in the copy's range."""

    size: int
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Tile:
    """Runs of `run` elements of the other tensor from `first` on, one every `step`.

    `axes` are their elements that are copied, with the first at `target` in the copy's range. The
    first axis counts the runs.
    """

    first: int
    run: int
    step: int
    target: int
    axes: tuple[Axis, ...]

    @property
    def runs(self) -> int:
        return self.axes[0].size

    @property
    def pitch(self) -> int:
        """Distance of the runs in a buffer, in elements."""
        return self.run + PADDING_ELEMENTS

    @property
    def sizes(self) -> Shape:
        return tuple(axis.size for axis in self.axes)

    @property
    def strides(self) -> Shape:
        """Strides of the copied elements in a buffer."""
        return (self.pitch, *(axis.source for axis in self.axes[1:]))

    @property
    def target_strides(self) -> Shape:
        return tuple(axis.target for axis in self.axes)

    @property
    def is_in_order(self) -> bool:
        """True if the tile is one run, and the same run in the copy."""
        return self.runs == 1 and all(
            axis.source == axis.target == 1 for axis in self.axes if axis.size > 1
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of tiles: elements in one, and elements between two that are generated with them.

    A tile that is in order may have any number of elements.
    """

    tile_elements: int
    gap_elements: int


def tiles(copy: Copy, shape: Shape, start: int, stop: int, limits: Limits) -> Iterator[Tile]:
    """Yield the tiles of elements [start, stop) of a copy of `shape`."""
    axes = _merged(shape, copy.strides)
    sizes = [size for size, _ in axes]
    for low, counts in _boxes(sizes, start, stop):
        box, target, at = [], 1, 0
        first = copy.offset
        for (size, stride), place, count in reversed(list(zip(axes, low, counts, strict=True))):
            box.append(Axis(count, stride, target))
            first += place * stride
            at += place * target
            target *= size
        yield from _tiles_of_box(box, first, at - start, limits)


def _merged(shape: Shape, strides: Sequence[int]) -> list[tuple[int, int]]:
    """Return size and stride of the axes; neighbours that act as one axis are merged."""
    axes: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == size * stride:
            axes[-1] = (axes[-1][0] * size, stride)
        else:
            axes.append((size, stride))
    return axes or [(1, 1)]


def _boxes(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[Shape, Shape]]:
    """Cut row-major elements [start, stop) into boxes: first indices and sizes along each axis."""
    if start >= stop:
        return
    if len(sizes) == 1:
        yield (start,), (stop - start,)
        return
    inner = math.prod(sizes[1:])
    first, last = -(-start // inner), stop // inner
    if first > last:  # within one row
        for low, counts in _boxes(sizes[1:], start - last * inner, stop - last * inner):
            yield (last, *low), (1, *counts)
        return
    if start < first * inner:
        for low, counts in _boxes(sizes[1:], start - (first - 1) * inner, inner):
            yield (first - 1, *low), (1, *counts)
    if first < last:
        yield (first, *(0 for _ in sizes[1:])), (last - first, *sizes[1:])
    for low, counts in _boxes(sizes[1:], 0, stop - last * inner):
        yield (last, *low), (1, *counts)


def _tiles_of_box(box: Sequence[Axis], first: int, at: int, limits: Limits) -> Iterator[Tile]:
    """Yield the tiles of a box whose first element is `first` there and `at` in the range."""
    outer = sorted((axis for axis in box if axis.size > 1), key=lambda axis: axis.source)
    inner: list[Axis] = []
    span = 1
    while outer and outer[0].source - span <= limits.gap_elements:
        axis = outer[0]
        reach = span + (axis.size - 1) * axis.source
        if reach > limits.tile_elements and not (axis.source == axis.target == 1):
            break
        span, inner = reach, [axis, *inner]
        del outer[0]
    rows, *others = outer or [Axis(1, span, 0)]
    is_dense = rows.source - span <= limits.gap_elements
    width = rows.source if is_dense else span + PADDING_ELEMENTS
    fitting = max(1, limits.tile_elements // max(width, 1))
    for places in itertools.product(*(range(axis.size) for axis in others)):
        shift = sum(i * axis.source for i, axis in zip(places, others, strict=True))
        there = sum(i * axis.target for i, axis in zip(places, others, strict=True))
        for low in range(0, rows.size, fitting):
            count = min(fitting, rows.size - low)
            begin, target = first + shift + low * rows.source, at + there + low * rows.target
            axes = (Axis(count, rows.source, rows.target), *inner)
            if is_dense:  # one run, of all the rows
                run = span + (count - 1) * rows.source
                yield Tile(begin, run, run, target, (Axis(1, run, 0), *axes))
            else:
                yield Tile(begin, span, rows.source, target, axes)
