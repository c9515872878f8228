"""The norm and inner products of an orthogonal matrix, whose values are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.plan.program import Materialized, Orthogonal, Program
from seedpoint.models.statistics import criteria
from seedpoint.models.statistics.dependence import Products
from seedpoint.models.statistics.distribution import ROUNDING
from seedpoint.models.statistics.expected import expected, orthogonal_std
from seedpoint.models.statistics.mixture import Shape
from seedpoint.models.statistics.overflow import limit

_DECOMPOSED = 64 * ROUNDING
"""The error of a QR decomposition in float32, relative to the gain (generator torch)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A (semi-)orthogonal matrix of m x n entries, m >= n, times `gain`.

    `tolerance` is how far rounding moves an inner product of two of its lines, and `norm` how
    far its Frobenius norm, each relative to what it should be.
    """

    gain: float
    m: int
    n: int
    tolerance: float
    norm_tolerance: float

    @property
    def std(self) -> float:
        """The root mean square of the entries."""
        return self.gain / math.sqrt(self.m)

    def mean_score(self, mean: float) -> float | None:
        """Return the entries' mean as a score; None for a single line, whose sum says nothing.

        Times sqrt(m n) / gain, it is one coordinate of a point uniform on the sphere in m
        dimensions, which is beyond t with a probability of at most (1 - t^2)^((m - 1) / 2) / 2.
        """
        if self.m < 2:
            return None
        t = mean * math.sqrt(self.m * self.n) / self.gain
        off = max(abs(t) - self.tolerance * math.sqrt(self.n), 0.0)
        root = math.sqrt(-(self.m - 1) * math.log1p(-(off**2))) if off < 1 else math.inf
        return math.copysign(root, t)

    def norm_share(self, rms: float) -> float:
        """Return the Frobenius norm's error as a share of what rounding explains."""
        return abs(rms / self.std - 1) / self.norm_tolerance

    def orthogonality(self, found: Products) -> float:
        """Return the lines' error as a share of what rounding explains."""
        return criteria.orthogonality(found, self.gain, self.tolerance)


def frame(program: Program, shape: Shape, dtype: DType) -> Frame | None:
    """Return the frame that an `orthogonal` program makes; None for any other program.

    Also None where an entry, none of which exceeds the gain, may be past the dtype's largest
    value, where many are too small for it, and where scales are not all that is done to it.
    """
    if isinstance(program.source, Materialized):
        return frame(program.source.shown, shape, dtype)
    if not isinstance(program.source, Orthogonal) or dtype.name == "float8_e8m0fnu":
        return None
    if program.source.matrix(shape) != shape:  # its lines are gathered by the tensor's own rows
        return None
    found = expected(program, shape)
    if not found.std or not dtype.is_floating:
        return None
    gain = found.std / orthogonal_std(1.0, shape)
    info = (BY_NAME["float32"] if dtype.name == "float64" else dtype).limits
    relative, least = info.eps / 2, info.smallest_normal * info.eps
    # An entry is off by `relative` of itself, or below the normal range by half of `least`.
    error = relative + least * math.sqrt(max(shape[0], math.prod(shape[1:]))) / gain
    if gain > limit(dtype) or error > 0.25:
        return None
    roundings = (2 + len(program.transforms)) * ROUNDING + _DECOMPOSED
    rows, columns = shape[0], math.prod(shape[1:])
    tolerance = 2 * (error + roundings) + (error + roundings) ** 2
    return Frame(gain, max(rows, columns), min(rows, columns), tolerance, error + roundings)
