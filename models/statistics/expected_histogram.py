"""The histogram that a tensor should have by its program."""

from __future__ import annotations

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.group_law import group_law
from seedpoint.models.statistics.mixture import Shape, population


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
    total = sum(group.count for group in groups)
    found: Floats = np.zeros(bins)
    for group in groups:
        shares, _ = group_law(group.law, dtype).shares(low, high, bins)
        found += shares * (group.count / total)
    return found
