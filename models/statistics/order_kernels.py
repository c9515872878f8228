"""Kernels for values by their places: neighbours, rows, lines of a matrix.

Sums are added by halves of fixed chunks: the bits depend on the values alone, and every loop
vectorizes.
"""

from __future__ import annotations

import numpy as np

from seedpoint.models.statistics.moments import Rows, Values, element
from seedpoint.models.stream.jit import kernel

CHUNK = 1024  # terms added at a time: they stay in the first cache


@kernel
def folded(terms: Rows, count: int) -> float:
    """Return the sum of the first `count` terms, at least one, by halves; overwrites them."""
    while count > 1:
        half = (count + 1) // 2
        for i in range(count - half):
            terms[i] += terms[i + half]
        count = half
    return float(terms[0])


@kernel
def lagged(values: Values, lag: int, pairs: int, center: float, sums: Rows) -> None:
    """Fill `sums` (3) with the sums of u v, u^2 v^2 and u^2 over the first `pairs` pairs.

    u and v are the values `lag` apart, minus `center`.
    """
    products, squares, powers = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    sums[:] = 0.0
    for start in range(0, pairs, CHUNK):
        count = min(CHUNK, pairs - start)
        for i in range(count):  # vectorizes, and so do the sums by halves
            u = element(values, start + i) - center
            v = element(values, start + i + lag) - center
            product = u * v
            products[i] = product
            squares[i] = product * product
            powers[i] = u * u
        sums[0] += folded(products, count)
        sums[1] += folded(squares, count)
        sums[2] += folded(powers, count)


@kernel
def row_squares(values: Values, width: int) -> tuple[float, float]:
    """Return the least and the greatest sum of squares of a row of `width` values."""
    least, greatest = np.inf, -np.inf
    squares = np.empty(CHUNK)
    for start in range(0, len(values) - width + 1, width):
        total = 0.0
        for first in range(start, start + width, CHUNK):
            count = min(CHUNK, start + width - first)
            for i in range(count):
                x = element(values, first + i)
                squares[i] = x * x
            total += folded(squares, count)
        least, greatest = min(least, total), max(greatest, total)
    return least, greatest


@kernel
def products(lines: Values, length: int) -> tuple[float, float, float]:
    """Return the extremes of the inner products of lines of `length` values.

    They are the greatest absolute product of two, and the least and the greatest square.
    """
    count = len(lines) // length
    cross, least, greatest = 0.0, np.inf, 0.0
    terms = np.empty(CHUNK)
    for a in range(count):
        for b in range(a, count):
            total = 0.0
            for first in range(0, length, CHUNK):
                part = min(CHUNK, length - first)
                left, right = a * length + first, b * length + first
                for i in range(part):
                    terms[i] = element(lines, left + i) * element(lines, right + i)
                total += folded(terms, part)
            if a == b:
                least, greatest = min(least, total), max(greatest, total)
            else:
                cross = max(cross, abs(total))
    return cross, least, greatest


def warm_up() -> None:
    """Compile every kernel for every type of values, or loads it from Numba's cache."""
    every: tuple[Values, ...] = (
        np.zeros(8, np.float32),
        np.zeros(8, np.float64),
        np.zeros(8, np.uint16),
    )
    for values in every:
        lagged(values, 1, 7, 0.0, np.empty(3))
        row_squares(values, 2)
        products(values, 4)
