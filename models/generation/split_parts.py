"""Parts of a split that lie in a range of its elements."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from seedpoint.models.plan.program import Part, Split

Shape = tuple[int, ...]


def parts_between(
    split: Split, shape: Shape, low: int, high: int
) -> Iterator[tuple[int, Part, int]]:
    """Yield the number, part and first column of the parts within columns [low, high) of a row."""
    inner = math.prod(shape[split.axis + 1 :])
    stops = split.stops
    turn, place = divmod(low // inner, stops[-1])
    number = turn * len(stops) + bisect_right(stops, place)
    while number < split.count:
        turn, place = divmod(number, len(stops))
        part = split.parts[place]
        offset = (turn * stops[-1] + stops[place] - part.size) * inner
        if offset >= high:
            return
        yield number, part, offset
        number += 1


def touched_parts(split: Split, shape: Shape, start: int, stop: int) -> Iterator[tuple[int, Part]]:
    """Yield the number and part of those that overlap elements [start, stop), which is not empty.

    A part may be yielded twice.
    """
    row = math.prod(shape[split.axis :])
    low, high = start % row, start % row + stop - start
    for first, last in ((low, min(high, row)), (0, min(high - row, low))):
        if first < last:
            for number, part, _ in parts_between(split, shape, first, last):
                yield number, part
