"""Kernels that look at where values lie: beside each other, in rows, in a matrix.

Sums run in fixed lanes, added from 0 up, like those of `moments`: the bits depend on the values
alone.
"""

from __future__ import annotations

import numpy as np

from seedpoint.models.statistics.moments import Rows, Values, element
from seedpoint.models.stream.jit import kernel

LANES = 8


@kernel
def lagged(values: Values, lag: int, pairs: int, center: float, sums: Rows) -> None:
    """Fills `sums` (3) with the sums of u v, u^2 v^2 and u^2 over the first `pairs` pairs.

    u and v are the values `lag` apart, minus `center`.
    """
    lanes = np.zeros((3, LANES))
    for start in range(0, pairs // LANES * LANES, LANES):
        for lane in range(LANES):
            u = element(values, start + lane) - center
            v = element(values, start + lane + lag) - center
            product = u * v
            lanes[0, lane] += product
            lanes[1, lane] += product * product
            lanes[2, lane] += u * u
    sums[:] = 0.0
    for lane in range(LANES):
        for number in range(3):
            sums[number] += lanes[number, lane]
    for i in range(pairs // LANES * LANES, pairs):
        u = element(values, i) - center
        product = u * (element(values, i + lag) - center)
        sums[0] += product
        sums[1] += product * product
        sums[2] += u * u


@kernel
def row_squares(values: Values, width: int) -> tuple[float, float]:
    """The least and the greatest sum of squares of a row of `width` values."""
    least, greatest = np.inf, -np.inf
    lanes = np.empty(LANES)
    for start in range(0, len(values) - width + 1, width):
        lanes[:] = 0.0
        for i in range(start, start + width // LANES * LANES, LANES):
            for lane in range(LANES):
                x = element(values, i + lane)
                lanes[lane] += x * x
        total = 0.0
        for lane in range(LANES):
            total += lanes[lane]
        for i in range(start + width // LANES * LANES, start + width):
            x = element(values, i)
            total += x * x
        least, greatest = min(least, total), max(greatest, total)
    return least, greatest


@kernel
def products(lines: Values, length: int) -> tuple[float, float, float]:
    """Of the inner products of lines of `length` values: what is farthest from orthonormal.

    The greatest absolute product of two, the least and the greatest square.
    """
    count = len(lines) // length
    cross, least, greatest = 0.0, np.inf, 0.0
    lanes = np.empty(LANES)
    for a in range(count):
        for b in range(a, count):
            left, right = a * length, b * length
            lanes[:] = 0.0
            for i in range(0, length // LANES * LANES, LANES):
                for lane in range(LANES):
                    x = element(lines, left + i + lane)
                    lanes[lane] += x * element(lines, right + i + lane)
            total = 0.0
            for lane in range(LANES):
                total += lanes[lane]
            for i in range(length // LANES * LANES, length):
                total += element(lines, left + i) * element(lines, right + i)
            if a == b:
                least, greatest = min(least, total), max(greatest, total)
            else:
                cross = max(cross, abs(total))
    return cross, least, greatest


def warm_up() -> None:
    """Compiles every kernel for every type of values, or loads it from Numba's cache."""
    every: tuple[Values, ...] = (
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float64),
        np.zeros(LANES, np.uint16),
    )
    for values in every:
        lagged(values, 1, LANES - 1, 0.0, np.empty(3))
        row_squares(values, 2)
        products(values, 4)
