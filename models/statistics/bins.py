"""How a histogram would look if a tensor were just what its program promises."""

from __future__ import annotations

import numpy as np

from models.dtypes import DType
from models.program import Program
from models.statistics.grids import Floats
from models.statistics.population import Group, Shape, mixed, population


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
    shares = _rounded if dtype.itemsize <= 2 else _smooth
    return shares(groups, dtype, np.linspace(low, high, bins + 1))


def _smooth(groups: tuple[Group, ...], dtype: DType, edges: Floats) -> Floats:
    total = sum(group.count for group in groups)
    found: Floats = np.zeros(len(edges) - 1)
    for group in groups:
        found += group.law.shares(edges) * (group.count / total)
    return found


def _rounded(groups: tuple[Group, ...], dtype: DType, edges: Floats) -> Floats:
    points = mixed(groups, dtype)
    counted, _ = np.histogram(points.values, edges, weights=points.weights)
    found: Floats = counted
    return found
