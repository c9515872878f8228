"""Boxes of a tensor's elements, and how many elements of one no other covers."""

from __future__ import annotations

import math
from collections.abc import Sequence

Indices = range | tuple[int, ...]
"""Indices along one axis, ascending and distinct."""

Box = tuple[Indices, ...]
"""A product of indices, one for each axis."""

_MOST_STEPS = 20_000  # about a tenth of a second


class TooManyBoxesError(ValueError):
    """Boxes overlap in more ways than are worth counting."""


def size(box: Box) -> int:
    """The number of elements in `box` (1 for a tensor without axes)."""
    return math.prod(len(indices) for indices in box)


def uncovered(box: Box, covers: Sequence[Box]) -> int:
    """Return the number of elements of `box` in none of `covers`.

    Raises:
        TooManyBoxesError: After some thousand overlaps, or a million listed indices.
    """
    steps = 0

    def count(box: Box, covers: Sequence[Box]) -> int:
        nonlocal steps
        left = size(box)
        for number, cover in enumerate(covers):
            steps += 1 + sum(len(axis) for axis in cover if isinstance(axis, tuple)) // 32
            if steps > _MOST_STEPS:
                raise TooManyBoxesError(f"more than {_MOST_STEPS} overlaps")
            common = intersection(box, cover)
            if size(common):
                left -= count(common, covers[:number])
            if not left:
                break
        return left

    return count(box, covers)


def intersection(a: Box, b: Box) -> Box:
    """The elements of both boxes."""
    return tuple(_common(x, y) for x, y in zip(a, b, strict=True))


def _common(a: Indices, b: Indices) -> Indices:
    if isinstance(a, tuple):
        return tuple(index for index in a if index in b) if isinstance(b, range) else _both(a, b)
    return _common(b, a) if isinstance(b, tuple) else _common_range(a, b)


def _both(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(a) & set(b)))


def _common_range(a: range, b: range) -> range:
    """The common elements of two ascending ranges (Chinese remainders)."""
    if not a or not b:
        return range(0)
    divisor = math.gcd(a.step, b.step)
    if (b.start - a.start) % divisor:
        return range(0)
    step = a.step // divisor * b.step
    turns = (b.start - a.start) // divisor * pow(a.step // divisor, -1, b.step // divisor)
    first = (a.start + turns % (b.step // divisor) * a.step) % step
    low = max(a.start, b.start)
    return range(low + (first - low) % step, min(a.stop, b.stop), step)
