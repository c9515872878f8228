"""Statistics of a law's values beside moments: of neighbours, rows, and lines of a matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from seedpoint.models.statistics import moments, order_kernels
from seedpoint.models.statistics.moments import Rows, Values

Shape = tuple[int, ...]

MOST_PAIRS = 1 << 16
"""Pairs of values for each distance, at most; repeated values show in any of them."""

FEWEST_PAIRS = 16


class Lag(NamedTuple):
    """Sums of u v, u^2 v^2 and u^2 over pairs of values `distance` apart, around a center."""

    distance: int
    pairs: int
    product: float
    square: float
    power: float


class RowSquares(NamedTuple):
    """The least and the greatest sum of squares among `rows` rows of `width` values."""

    rows: int
    width: int
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Products:
    """Inner products of lines: the greatest of two, the least and the greatest of one's own."""

    cross: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Examined:
    """Statistics of a law's values beside moments, extremes and histogram.

    `lags` are of the next value, the next row, and the other half.
    """

    lags: tuple[Lag, ...] = ()
    rows: RowSquares | None = None
    products: Products | None = None


def lags(sample: Values, shape: Shape, center: float) -> tuple[Lag, ...]:
    """Return the lags of the next value, the next row, and the other half of the sample.

    `sample` is the tensor, or blocks evenly spaced in it: then its halves are the tensor's
    when that is an even number of whole blocks.
    """
    found, sums = [], np.empty(3)
    for distance, pairs in _distances(len(sample), shape):
        order_kernels.lagged(sample, distance, pairs, center, sums)
        found.append(Lag(distance, pairs, *sums.tolist()))
    return tuple(found)


@lru_cache
def _distances(size: int, shape: Shape) -> tuple[tuple[int, int], ...]:
    """Return the distances of pairs that are looked at, each with the number of pairs."""
    halves = size // 2 if size % 2 == 0 else 0
    distances = dict.fromkeys((1, math.prod(shape[1:]), halves))
    pairs = ((distance, min(size - distance, MOST_PAIRS)) for distance in distances if distance)
    return tuple((distance, count) for distance, count in pairs if count >= FEWEST_PAIRS)


def row_squares(sample: Values, shape: Shape, row: Rows) -> RowSquares | None:
    """Return the rows' sums of squares when `sample` is the tensor, else those of its segments."""
    numel, width = math.prod(shape), math.prod(shape[1:])
    if len(sample) < numel:
        width, count = moments.SEGMENT_ELEMENTS, int(row[moments.SEGMENTS])
        extremes = float(row[moments.QUIETEST]), float(row[moments.LOUDEST])
        return RowSquares(count, width, *extremes) if count else None
    if len(shape) < 2 or width < 2:
        return None
    return RowSquares(shape[0], width, *order_kernels.row_squares(sample, width))
