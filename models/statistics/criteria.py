"""Criteria beside the moments, each as evidence against a right tensor.

Evidence is -log of a bound on the probability that a right tensor shows as much. It is 0 or
less for an ordinary tensor, and infinite for an impossible one.
"""

from __future__ import annotations

import math

from seedpoint.models.statistics.dependence import Lag, Products, RowSquares
from seedpoint.models.statistics.forecast import Forecast
from seedpoint.models.statistics.histogram import Histogram
from seedpoint.models.statistics.masses import divergence
from seedpoint.models.statistics.tail_bounds import Sum, evidence
from seedpoint.models.statistics.tensor_law import TensorLaw

FEWEST = 16
"""Elements from which on the shape of a law is judged."""

_EXTREMES = 2 * math.log(1 / (1 - math.exp(-1)))
"""Cost in probability of leaving the extremes out, at values that about one element has."""

_PER_BIN = 8  # values for each bin at least, so that few values are not spread thin

_KNOWN_VARIANCE = 0.02
"""The share of the expected variance of products that is added to what they vary by: see `lag`."""


def extremes(law: TensorLaw, low: float, high: float) -> float:
    """Return the evidence of the least and the greatest element: too far out, or too far in."""
    most = -math.inf
    for value, upper in ((high, True), (low, False)):
        as_far, past = law.beyond(value, upper=upper)
        most = max(most, -math.log(as_far) if as_far else math.inf, past)
    return most - math.log(4)


def histogram(law: TensorLaw, counted: Histogram) -> float | None:
    """Return the evidence of the counts, by their relative entropy, given the extremes.

    With n counts in k bins, n times the relative entropy exceeds t > k - 1 with a probability of
    at most exp(-t) (e t / (k - 1))^(k - 1), for any n and any bins (R. Agrawal, "Finite-sample
    concentration of the multinomial in relative entropy", IEEE Trans. Inf. Theory 66, 2020).
    That follows from a bound on E[exp(s n D)], which independent elements of several laws
    do not exceed: n D is a sum of convex functions of one count each, so that any pair of them
    contributes less than a pair of their mixture. None where there are too few counts, or where
    rounding moves them between bins.
    """
    forecast, bins = law.forecast, len(counted.bins)
    is_whole = counted.sampled == counted.of
    bin_width = (counted.max - counted.min) / bins
    total = counted.sampled
    if total < FEWEST or not bin_width > 0 or not (forecast.is_alike or is_whole):
        return None
    if total * (forecast.slack / bin_width) ** 2 > 1:
        return None
    expected = law.shares(counted.min, counted.max, bins)
    width = 1
    while width < bins // 4 and bins // width * _PER_BIN > total:
        width *= 2
    is_sure = (law.at(counted.min) > 1, law.at(counted.max) > 1)
    sampled = 0.0 if is_whole else float(total)
    distance, occupied = divergence(counted.bins, expected, width, sampled, is_sure)
    freedom = occupied - 1
    if math.isinf(distance) or freedom < 1:
        return math.inf if math.isinf(distance) else None
    if distance <= freedom:
        return 0.0
    return distance - freedom * (1 + math.log(distance / freedom)) - _EXTREMES


def lag(found: Lag, forecast: Forecast) -> float:
    """Return the evidence of a correlation of values some distance apart, around their right mean.

    Products M of such values are a martingale's differences. exp(x - x^2 / 6) <= 1 + x + x^2 / 3
    for every x, so E[exp(a M - a^2 V / 2)] <= 1 for every a, where V = ([M] + 2 <M>) / 3 adds up
    their squares and the variances expected of them (B. Delyon, "Exponential inequalities for
    sums of weakly dependent variables", Electron. J. Probab. 14, 2009). Averaged over a normal a
    of variance 1 / v, that is E[sqrt(v / (V + v)) exp(M^2 / (2 (V + v)))] <= 1 for any v, and by
    Markov's inequality the logarithm exceeds t with a probability of at most exp(-t).
    """
    variance = forecast.std**2
    off, root = forecast.mean_slack, math.sqrt(found.pairs)
    slack = found.pairs * off**2 + 14 * off * forecast.std * root
    varied = (found.square + 2 * variance * found.power) / 3
    added = _KNOWN_VARIANCE * found.pairs * variance**2
    product = max(abs(found.product) - slack, 0.0)
    if not added:  # a variance whose square underflows: only zeros are expected
        return math.inf if product else 0.0
    return product**2 / (2 * (varied + added)) - math.log1p(varied / added) / 2


def rows(found: RowSquares, expected: Sum, forecast: Forecast) -> float:
    """Return the evidence of the rows with the least and the greatest sum of squares."""
    rms = math.hypot(forecast.mean, forecast.std)
    slack = found.width * rms * 4 * forecast.slack
    scores = (expected.score(total, slack) for total in (found.least, found.greatest))
    return evidence(max(map(abs, scores))) - math.log(found.rows)


def orthogonality(found: Products, gain: float, tolerance: float) -> float:
    """Return the greatest |W W^T / gain^2 - I| of the sampled lines, as a share of `tolerance`."""
    square = gain**2
    most = max(found.cross, found.greatest - square, square - found.least)
    return most / (square * tolerance)
