"""The histogram that a tensor should have by its program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics import masses
from seedpoint.models.statistics.distribution import Points
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.mixture import Group, Shape, population


def expected_shares(
    program: Program, shape: Shape, dtype: DType, low: float, high: float, bins: int
) -> Floats | None:
    """Return the share of elements in each of `bins` equal bins over [low, high], ends included.

    The values are those after conversion to `dtype`: in 16 and 8 bits some bins hold more
    representable values than others. None where there is no closed form, or where `low` is
    `high`.
    """
    groups = population(program, shape, double=dtype.name == "float64" and not program.draws)
    if not groups or not low < high or not dtype.is_floating or dtype.name == "float8_e8m0fnu":
        return None
    return shares(groups, dtype, low, high, bins)


def shares(groups: Sequence[Group], dtype: DType, low: float, high: float, bins: int) -> Floats:
    """Return the share of all groups' elements in each of `bins` equal bins over [low, high]."""
    total = sum(group.count for group in groups)
    found: Floats = np.zeros(bins)
    for group in groups:
        found += group_shares(group, dtype, low, high, bins) * (group.count / total)
    return found


def group_shares(group: Group, dtype: DType, low: float, high: float, bins: int) -> Floats:
    """Return the share of one group's elements in each of `bins` equal bins over [low, high]."""
    if dtype.itemsize > 2:
        half_way = (high * 0.5 - low * 0.5) / bins * np.arange(bins + 1)  # of any finite range
        edges = low + half_way + half_way
        edges[-1] = high
        return group.law.shares(edges)
    points = ascending(group, dtype)
    found: Floats = np.zeros(bins)
    masses.binned(points.values, points.weights, low, high, found)
    return found


@lru_cache(maxsize=32)
def ascending(group: Group, dtype: DType) -> Points:
    """Return the finite values of a group's elements in a narrow dtype, in ascending order."""
    points = group.law.points(dtype)
    finite = np.isfinite(points.values)
    order = np.argsort(points.values[finite], kind="stable")
    return Points(points.values[finite][order], points.weights[finite][order])
