"""Bounds on the probability of a sum of independent values, for any law and any number.

Chernoff's bound: P(S - E[S] >= t) <= exp(-I(t)) with I(t) = sup over h of
h t - log E[exp(h (S - E[S]))]. The signed root sqrt(2 I) is the usual z-score when S is normal, and
P(|score| >= c) <= 2 exp(-c^2 / 2) whatever the law is: small samples, skewed laws and rare
values need no exception. (Chernoff 1952; the root as in Barndorff-Nielsen 1986.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from seedpoint.models.statistics.grids import Floats

BUDGET = 2e-9
"""The probability that a right tensor fails, at most, over all of its criteria."""

MOMENT_SHARE, OTHER_SHARE = 0.3, 0.05
"""Shares of the budget: of mean and std each, and of each of seven other criteria.

These are the kurtosis, the extremes, the histogram, the rows, and three distances at which
values may repeat. Wrong scales are the commonest fault, and the hardest to see.
"""

CLASSIC = 1.0
"""A score up to which standard errors are given: no verdict depends on it there."""

UNSEEN = 1e-12
"""The probability, over a whole tensor, of the tail values that sums leave to the extremes."""

_RATIO = math.log(1.02)
"""Bounds are evaluated at powers of 1.02: a score is low by 1e-4 at most, 1e-3 in heavy tails.

So tensors of one law share what is computed, and a score depends on nothing that came before.
"""

_STEPS = 60
_LONGEST_STEP = 70  # powers: a factor of 4
_PLENTY = 1000.0  # a rate that is far past every limit
_MOST_BOUNDS = 1024  # of one sum on one side; a few are used again and again


@dataclass(frozen=True, slots=True)
class Term:
    """`count` independent values, each one of `values` with the probability in `weights`."""

    count: int
    values: Floats
    weights: Floats

    def mapped(self, values: Floats) -> Term:
        """Return the same with other values in place of these."""
        return Term(self.count, values, self.weights)


@dataclass(frozen=True, slots=True)
class Bound:
    """Chernoff's bound for one h: K(h) and its first two derivatives."""

    h: float
    value: float
    slope: float
    curvature: float

    def step(self, power: int, distance: float) -> int:
        """Return the next power to look at, by Newton's method; `power` is this bound's own."""
        off = distance - self.slope
        target = self.h + off / self.curvature if self.curvature > 0 else math.inf
        wanted = math.log(target / self.h) / _RATIO if 0 < target < math.inf else math.inf
        if abs(wanted) >= _LONGEST_STEP:
            return power + int(math.copysign(_LONGEST_STEP, off))
        return power + (round(wanted) or (1 if off > 0 else -1))


class Sum:
    """The sum of all values of some terms; its `mean` and `error` (standard deviation)."""

    def __init__(self, terms: Sequence[Term]) -> None:
        means = [float(term.weights @ term.values) for term in terms]
        centered = [term.values - mean for term, mean in zip(terms, means, strict=True)]
        squares = zip(terms, centered, strict=True)
        self.mean = sum(t.count * mean for t, mean in zip(terms, means, strict=True))
        self.error = math.sqrt(sum(t.count * float(t.weights @ v**2) for t, v in squares))
        self._terms = [
            Term(term.count, values / self.error, term.weights) if self.error else term
            for term, values in zip(terms, centered, strict=True)
        ]
        self._most = {sign: self._reach(sign) for sign in (1, -1)}
        self._bounds: dict[int, dict[int, Bound]] = {1: {}, -1: {}}

    def score(self, total: float, slack: float = 0.0) -> float:
        """Return the signed root of the rate at `total`, past `slack`; infinite past any total."""
        off = total - self.mean
        distance = max(abs(off) - slack, 0.0)
        if distance == 0.0:
            return 0.0
        if self.error == 0.0:
            return math.copysign(math.inf, off)
        z = distance / self.error
        root = z if z <= CLASSIC else math.sqrt(2 * self._rate(z, 1 if off > 0 else -1))
        return math.copysign(root, off)

    def _rate(self, distance: float, sign: int) -> float:
        """Return the sup over h >= 0 of h * distance - K(h), in units of the standard deviation.

        Any h gives a lower bound, so a bound that is not the best can only spare a tensor.
        """
        if distance > self._most[sign] * (1 + 1e-9) + 1e-9:
            return math.inf
        best, power, kept = 0.0, round(math.log(distance) / _RATIO), self._bounds[sign]
        low, high = -math.inf, math.inf  # the best power is between: the slope rises with it
        for _ in range(_STEPS):
            bound = kept.get(power) or self._bound(power, sign)
            rate = bound.h * distance - bound.value  # a tangent of that convex function
            best = max(best, rate)
            if best > _PLENTY:
                break
            if bound.slope < distance:
                low = power
            else:
                high = power
            if high - low <= 1:
                break
            power = bound.step(power, distance)
            if not low < power < high:
                power = int(low + high) // 2 if math.isfinite(low + high) else power
        return best

    def _bound(self, power: int, sign: int) -> Bound:
        """Return the bound of h = 1.02^power on one side, kept for other tensors of the law."""
        h = math.exp(power * _RATIO)
        value, slope, curvature = self._cumulants(sign * h)
        found = Bound(h, value, sign * slope, curvature)
        if len(self._bounds[sign]) < _MOST_BOUNDS:
            self._bounds[sign][power] = found
        return found

    def _reach(self, sign: int) -> float:
        """Return how far the sum can be from its mean on one side."""
        return sum(t.count * float((sign * t.values[t.weights > 0]).max()) for t in self._terms)

    def _cumulants(self, h: float) -> tuple[float, float, float]:
        """Return K(h) = log E[exp(h S)] of the centered sum, and its first two derivatives."""
        value = slope = curvature = 0.0
        for term in self._terms:
            exponents = h * term.values
            top = float(exponents.max())
            mass = term.weights * np.exp(exponents - top)
            whole = float(mass.sum())
            mean = float(mass @ term.values) / whole
            square = float(mass @ (term.values - mean) ** 2) / whole
            value += term.count * (top + math.log(whole))
            slope += term.count * mean
            curvature += term.count * square
        return value, slope, curvature


def bulk(term: Term) -> Term:
    """Return `term` without its tails, in which a value is with a probability of `UNSEEN`.

    Its values are ascending.
    """
    least = UNSEEN / term.count
    below, above = np.cumsum(term.weights), np.cumsum(term.weights[::-1])[::-1]
    kept = (below >= least) & (above >= least)
    weights = term.weights[kept]
    return Term(term.count, term.values[kept], weights / weights.sum())


@lru_cache
def evidence_limit(laws: int = 1, share: float = OTHER_SHARE) -> float:
    """Return the evidence, -log of a probability, past which one of `laws` laws fails."""
    return math.log(laws / (share * BUDGET))


@lru_cache
def score_limit(laws: int = 1, share: float = MOMENT_SHARE) -> float:
    """Return the score past which one of `laws` laws fails, on either side."""
    return math.sqrt(2 * (evidence_limit(laws, share) + math.log(2)))


def evidence(score: float) -> float:
    """Return -log of the bound on both tails beyond a score."""
    return score**2 / 2 - math.log(2)
