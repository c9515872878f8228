"""The parts of a split tensor, with the places of their elements and their programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seedpoint.models.plan.program import (
    Add,
    Clamp,
    HardThreshold,
    Materialized,
    Part,
    Program,
    Scale,
    Split,
    Transform,
)
from seedpoint.models.statistics.moments import Values

MOST_PARTS = 64
"""Parts of one tensor that are judged one by one; each takes some kilobytes while gathered."""

_ELEMENTWISE = (Scale, Add, Clamp, HardThreshold)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """The stretch [start, start + width) of every `row` elements."""

    row: int
    start: int
    width: int

    def before(self, place: int) -> int:
        """Return how many of the stretch's elements lie before `place`."""
        rows, rest = divmod(place, self.row)
        return rows * self.width + min(max(rest - self.start, 0), self.width)

    def cut(self, values: Values, place: int) -> Values:
        """The stretch's elements among `values`, which begin at `place`."""
        stop = place + len(values)
        first, last = -(-place // self.row), stop // self.row  # whole rows
        if first > last:
            return self._piece(values, place, place, stop)
        pieces: list[Any] = []
        if place < first * self.row:
            pieces.append(self._piece(values, place, place, first * self.row))
        if first < last:
            whole = values[first * self.row - place : last * self.row - place]
            whole = whole.reshape(last - first, self.row)
            pieces.append(whole[:, self.start : self.start + self.width].reshape(-1))
        if last * self.row < stop:
            pieces.append(self._piece(values, place, last * self.row, stop))
        found: Values = np.concatenate(pieces) if pieces else values[:0]
        return found

    def _piece(self, values: Values, place: int, start: int, stop: int) -> Values:
        """The stretch's elements in [start, stop), a part of one row."""
        row = start // self.row * self.row + self.start
        low, high = max(start, row), min(stop, row + self.width)
        return values[low - place : max(high, low) - place]


@dataclass(frozen=True, slots=True)
class Window:
    """One part of a tensor: its program with all transforms, its shape, its place.

    `axes` are the (axis, start, stop) that lead to it, outermost split first.
    """

    program: Program
    shape: Shape
    axes: tuple[tuple[int, int, int], ...]
    levels: tuple[Level, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def before(self, place: int) -> int:
        """Return the number of the part's elements before element `place` of the tensor."""
        for level in self.levels:
            place = level.before(place)
        return place

    def cut(self, values: Values, place: int) -> Values:
        """The part's elements among `values`, which begin at element `place` of the tensor."""
        for level in self.levels:
            values, place = level.cut(values, place), level.before(place)
        return values


def windows(program: Program, shape: Shape) -> tuple[Window, ...]:
    """Return the parts of a split tensor; none for any other tensor.

    A tensor of more than `MOST_PARTS` is judged as a whole, and so is one with a transform over
    the parts that counts elements, with parts that keep a base, or a stack of matrices.
    """
    if isinstance(program.source, Materialized):
        return windows(program.source.shown, shape)
    if not isinstance(program.source, Split):
        return ()
    found: list[Window] = []
    for window in _leaves(program, shape, (), ()):
        if window is None or len(found) == MOST_PARTS:
            return ()
        if window.numel:
            found.append(window)
    return tuple(found)


def _leaves(
    program: Program,
    shape: Shape,
    axes: tuple[tuple[int, int, int], ...],
    levels: tuple[Level, ...],
) -> Iterator[Window | None]:
    if not isinstance(split := program.source, Split):
        yield Window(program, shape, axes, levels)
        return
    plain = all(isinstance(transform, _ELEMENTWISE) for transform in program.transforms)
    if not plain or split.base is not None or split.squeeze:
        yield None
        return
    inner, offset = math.prod(shape[split.axis + 1 :]), 0
    for part in split.parts * min(split.repeat, MOST_PARTS + 1):
        place = (split.axis, offset, offset + part.size)
        level = Level(shape[split.axis] * inner, offset * inner, part.size * inner)
        shape_ = split.shape_of(part, shape)
        made = _transformed(part, program.transforms)
        if part.size and math.prod(shape_):
            yield from _leaves(made, shape_, (*axes, place), (*levels, level))
        offset += part.size


def _transformed(part: Part, transforms: tuple[Transform, ...]) -> Program:
    return Program(part.program.source, (*part.program.transforms, *transforms))
