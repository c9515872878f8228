"""The law of a tensor's elements: sums, tails and bins, computed once for its verdict.

Tensors of one program, shape and dtype share it: a checkpoint has many tensors of few laws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics.distribution import ROUNDING
from seedpoint.models.statistics.forecast import Forecast, forecast, groups_of, terms_of
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.group_law import group_law
from seedpoint.models.statistics.mixture import Group, Shape
from seedpoint.models.statistics.tail_bounds import Sum, Term, bulk

_SUMMING = 1e-9  # relative; what adding known values may lose


class TensorLaw:
    """Groups of independent elements, converted to `dtype`: sums, tails and shares of bins."""

    def __init__(self, groups: tuple[Group, ...], dtype: DType, foreseen: Forecast) -> None:
        self.groups = groups
        self.dtype = dtype
        self.forecast = foreseen
        self.count = sum(group.count for group in groups)
        self._tails = tuple(Tail(group, dtype) for group in groups)
        self._atomic = [tail for tail in self._tails if tail.law.has_atoms]
        self._rows: dict[int, Sum] = {}  # by width: a tensor's rows, or segments of it

    @cached_property
    def sums(self) -> Sums:
        """The sums over all elements; the std is past what rounding shifts."""
        mean, std, dtype = self.forecast.mean, self.forecast.std, self.dtype
        terms = [t.mapped((t.values - mean) / std) for t in terms_of(self.groups, dtype)]
        around = terms_of(self.groups, dtype, around=mean)
        second = Sum([t.mapped(((t.values - mean) / std) ** 2) for t in around])
        return _sums(terms, second, self.forecast)

    def row_sum(self, width: int) -> Sum:
        """Return the sum of squares of `width` elements; all elements have one law."""
        if width not in self._rows:
            (term,) = terms_of(self.groups, self.dtype, around=0.0)
            self._rows[width] = Sum([Term(width, term.values**2, term.weights)])
        return self._rows[width]

    def beyond(self, value: float, *, upper: bool) -> tuple[float, float]:
        """Return the numbers of elements expected at or past `value`: the most, and the least.

        Rounding may have moved elements across it.
        """
        as_far, past = 0.0, 0.0
        for tail in self._tails:
            most, least = tail.beyond(value, upper=upper)
            as_far, past = as_far + most, past + least
        return as_far, past

    def at(self, value: float) -> float:
        """Return how many elements are expected to be just `value`."""
        return sum(tail.count * tail.law.at(value) for tail in self._atomic)

    def shares(self, low: float, high: float, bins: int) -> Floats:
        """Return the shares of equal bins of elements that all lie in [low, high]."""
        found: Floats = np.zeros(bins)
        for tail in self._tails:
            shares, inside = tail.law.shares(low, high, bins)
            if inside:
                found += shares * (tail.count / (self.count * inside))
        return found


@lru_cache(maxsize=32)
def tensor_law(program: Program, shape: Shape, dtype: DType) -> TensorLaw | None:
    """Return the law of a floating tensor; None without a closed form."""
    foreseen = forecast(program, shape, dtype)
    if foreseen is None:
        return None
    return TensorLaw(groups_of(program, shape, dtype), dtype, foreseen)


UNREACHED = 4e-8
"""The probability of a normal draw past 5.4 std on one side: not every stream goes so far."""


class Tail:
    """The tails of one group: expected numbers of elements that are far out."""

    def __init__(self, group: Group, dtype: DType) -> None:
        self.law = group_law(group.law, dtype)
        self.count = group.count
        self._unreached = UNREACHED / group.law.mass
        self._error = 4 * (group.law.mean_error + group.law.std_error)
        self._relative = 16 * ROUNDING
        if dtype.itemsize <= 2:
            self._relative += dtype.limits.eps
            # Zero stands for all values that are finer than the law's points.
            finest = group.law.variable.finest
            self._error += finest * max(abs(segment.slope) for segment in group.law.segments)

    def beyond(self, value: float, *, upper: bool) -> tuple[float, float]:
        """Return the numbers of elements expected at or past `value`: the most, and the least."""
        slack = max(self._relative * abs(value) + self._error, math.ulp(0.0))
        outwards = slack if upper else -slack
        as_far, past = self.law.tails(value - outwards, value + outwards, upper=upper)
        return self.count * as_far, self.count * max(past - self._unreached, 0.0)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over all elements that are judged, of y = (x - mean) / std.

    `first` is of y, `second` of y^2, `fourth` of y^4 - `slope` y^2: what of y^4 does not
    vary with y^2, so that a wrong std does not show in it again (for a normal law it is the
    Hermite polynomial of degree 4, but for constants). `fourth_slack` is for rounding.
    """

    first: Sum
    second: Sum
    fourth: Sum
    slope: float
    fourth_slack: float


def _sums(terms: list[Term], second: Sum, found: Forecast) -> Sums:
    """Return the sums of y, given its values and the sum of their squares."""
    total = sum(term.count for term in terms)
    y = np.concatenate([term.values for term in terms])
    weights = np.concatenate([term.weights * (term.count / total) for term in terms])
    slope = _slope(y, weights)
    moved = float(np.sum(weights * (4 * np.abs(y) ** 3 + 2 * abs(slope) * np.abs(y))))
    size = float(np.sum(weights * (y**4 + abs(slope) * y**2)))
    slack = total * (moved * found.slack / found.std + _SUMMING * size)
    return Sums(
        Sum(terms),
        second,
        Sum([_fourth(bulk(term), slope) for term in terms]),
        slope,
        slack,
    )


def _fourth(term: Term, slope: float) -> Term:
    return term.mapped(term.values**4 - slope * term.values**2)


def _slope(y: Floats, weights: Floats) -> float:
    """Regression slope of y^4 on y^2; 0 where y^2 does not vary."""
    square = y**2 - np.sum(weights * y**2)
    variance = float(np.sum(weights * square**2))
    return float(np.sum(weights * square * y**4)) / variance if variance > _SUMMING else 0.0
