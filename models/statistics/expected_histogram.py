"""How a histogram would look if a tensor were just what its program promises."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.mixture import Group, Shape, mixed, population


def expected_shares(
    program: Program, shape: Shape, dtype: DType, low: float, high: float, bins: int
) -> Floats | None:
    """The share of elements in each of `bins` equal bins over [low, high], the ends included.

    Of the values after conversion to `dtype`: in 16 and 8 bits there are bins that hold
    more of the representable values than others. None where there is no closed form, or
    nothing to show (`low` is `high`).
    """
    groups = population(program, shape, double=dtype.name == "float64" and not program.draws)
    if not groups or not low < high or not dtype.is_floating or dtype.name == "float8_e8m0fnu":
        return None
    return shares(groups, dtype, low, high, bins)


def shares(groups: Sequence[Group], dtype: DType, low: float, high: float, bins: int) -> Floats:
    """The share of all elements of `groups` in each of `bins` equal bins over [low, high]."""
    if dtype.itemsize <= 2:
        points = mixed(groups, dtype)
        inside = (points.values >= low) & (points.values <= high)
        places = _places(points.values[inside], low, high, bins)
        binned: Floats = np.bincount(places, points.weights[inside], bins).astype(np.float64)
        return binned
    edges = np.linspace(low, high, bins + 1)
    total = sum(group.count for group in groups)
    found: Floats = np.zeros(bins)
    for group in groups:
        found += group.law.shares(edges) * (group.count / total)
    return found


def _places(values: Floats, low: float, high: float, bins: int) -> NDArray[np.int64]:
    """The bins that `moments.histogram` counts values in, to the bit."""
    base = low * 0.5
    with np.errstate(over="ignore", divide="ignore"):
        scale = bins / (high * 0.5 - base)
    if not math.isfinite(scale):
        return np.zeros(len(values), np.int64)
    return np.minimum(((values * 0.5 - base) * scale).astype(np.int64), bins - 1)
