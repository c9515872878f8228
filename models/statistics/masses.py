"""Kernels for the probabilities of bins, and for how far counts are from them."""

from __future__ import annotations

import math

import numpy as np

from seedpoint.models.statistics.grids import Floats
from seedpoint.models.stream.jit import kernel


@kernel
def binned(values: Floats, weights: Floats, low: float, high: float, shares: Floats) -> None:
    """Add the weights of ascending `values` in [low, high] to equal bins over that range.

    A value falls in the bin in which `moments.histogram` counts it, by the same arithmetic.
    """
    bins = len(shares)
    base = low * 0.5
    scale = bins / (high * 0.5 - base)
    start, stop = np.searchsorted(values, low), np.searchsorted(values, high, side="right")
    for i in range(start, stop):
        place = np.int32((values[i] * 0.5 - base) * scale) if np.isfinite(scale) else np.int32(0)
        shares[min(place, np.int32(bins - 1))] += weights[i]


@kernel
def divergence(counts: Floats, expected: Floats) -> tuple[float, int]:
    """Return the relative entropy of `counts` times their number, and how many bins may have any.

    `expected` need not add up to 1. The entropy is infinite where a value is in a bin of none.
    """
    distance, occupied, ratio = 0.0, 0, np.sum(expected) / np.sum(counts)
    for number in range(len(counts)):
        occupied += expected[number] > 0
        if counts[number] > 0:
            if expected[number] > 0:
                distance += counts[number] * math.log(counts[number] * ratio / expected[number])
            else:
                distance = np.inf
    return distance, occupied


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache."""
    values, weights = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    binned(values, weights, 0.0, 1.0, np.zeros(2))
    divergence(weights, weights)
