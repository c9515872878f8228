"""Criteria of one law beside its moments, each as evidence against a right tensor.

Evidence is -log of a bound on the probability that a right tensor shows as much; it is 0 or
less where nothing speaks against it, and infinite for what cannot be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.statistics.dependence import Lag, Products, RowSquares
from seedpoint.models.statistics.distribution import ROUNDING, Law
from seedpoint.models.statistics.expected_histogram import shares
from seedpoint.models.statistics.forecast import Forecast
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.histogram import Histogram
from seedpoint.models.statistics.mixture import Group
from seedpoint.models.statistics.tail_bounds import Sum, evidence

UNREACHED = 4e-8
"""The probability of a normal draw past 5.4 std on one side: not every stream goes so far."""

FEWEST = 16
"""Elements from which on the shape of a law is judged."""

_PER_BIN = 8  # values for each bin at least, so that few values are not spread thin

_WINDOWED = 0.92
"""What a self-normalized score is taken down by, for the variance that is random itself.

Delyon's bound holds for a given variance; here it is one of some 70 windows of 4 %, which costs
exp(-c^2 / 2 * 0.04) and a factor of 70 (past 6.8, 7.4 is enough for both).
"""


def extremes(groups: Sequence[Group], dtype: DType, low: float, high: float) -> float:
    """The least and the greatest element: whether one is too far out, or all too far in."""
    found = [
        _extreme(groups, dtype, high, upper=True),
        _extreme(groups, dtype, low, upper=False),
    ]
    return max(found) - math.log(4)


def _extreme(groups: Sequence[Group], dtype: DType, value: float, *, upper: bool) -> float:
    """Evidence of one extreme, too far out or too far in."""
    as_far, farther = 0.0, 0.0
    for group in groups:
        slack = 16 * ROUNDING * abs(value) + 4 * (group.law.mean_error + group.law.std_error)
        if dtype.itemsize <= 2:
            slack += torch.finfo(dtype.torch).eps * abs(value)
        slack = max(slack, math.ulp(0.0))  # what is at the extreme is not past it
        outwards = slack if upper else -slack
        as_far += group.count * _beyond(group.law, dtype, value - outwards, upper=upper)
        mass = _beyond(group.law, dtype, value + outwards, upper=upper)
        farther += group.count * max(mass - UNREACHED / group.law.mass, 0.0)
    return max(-math.log(as_far) if as_far else math.inf, farther)


def _beyond(law: Law, dtype: DType, value: float, *, upper: bool) -> float:
    """The probability of an element as far out as `value`."""
    if dtype.itemsize <= 2:
        points = law.points(dtype)
        side = points.values >= value if upper else points.values <= value
        return float(points.weights[side].sum())
    return law.beyond(value, upper=upper)


def histogram(
    groups: Sequence[Group], dtype: DType, counted: Histogram, forecast: Forecast
) -> float | None:
    """The likelihood ratio chi-square of the counts, given the extremes between which they are.

    With n counts in k bins, n times the relative entropy exceeds t with a probability of at
    most exp(-t) (e t / (k - 1))^(k - 1), for any n and any bins (Agrawal, "Multinomial
    concentration in relative entropy at the ratio of alphabet and sample sizes", 2020). Elements
    of several laws vary less than independent ones of the mixture. None where there are too few
    counts, or where rounding moves them between bins.
    """
    is_whole = counted.sampled == counted.of
    bins = len(counted.bins)
    width = (counted.max - counted.min) / bins
    counts = np.array(counted.bins, np.float64)
    if is_whole:  # the extremes themselves are given
        counts[[0, -1]] = np.maximum(counts[[0, -1]] - 1, 0)
    total = float(counts.sum())
    alike = forecast.is_alike or is_whole
    if total < FEWEST or not width > 0 or not alike:
        return None
    if total * (forecast.slack / width) ** 2 > 1:
        return None
    expected = shares(groups, dtype, counted.min, counted.max, bins)
    fewer = 1
    while fewer < bins // 4 and bins // fewer * _PER_BIN > total:
        fewer *= 2
    counts, expected = (x.reshape(-1, fewer).sum(1) for x in (counts, expected))
    return _multinomial(counts, expected)


def _multinomial(counts: Floats, expected: Floats) -> float | None:
    total, mass = float(counts.sum()), float(expected.sum())
    if not mass or (counts[expected == 0] > 0).any():
        return math.inf
    freedom = int(np.count_nonzero(expected)) - 1
    if freedom < 1:
        return None
    seen = counts > 0
    ratio = counts[seen] * mass / (total * expected[seen])
    distance = float(np.sum(counts[seen] * np.log(ratio)))
    if distance <= freedom:
        return 0.0
    return distance - freedom * (1 + math.log(distance / freedom))


def lag(found: Lag, forecast: Forecast) -> float:
    """The correlation of values some distance apart, around the mean they should have.

    Products of neighbours are a martingale's differences. With their squares added up in [M]
    and the variances expected of them in <M>, P(M >= t, [M] + 2 <M> <= 3 v) <= exp(-t^2 / 2 v)
    for any law (Delyon, "Exponential inequalities for sums of weakly dependent variables", 2009).
    """
    variance = forecast.std**2
    off, root = forecast.mean_slack, math.sqrt(found.pairs)
    slack = found.pairs * off**2 + 14 * off * forecast.std * root
    scale = max((found.square + 2 * variance * found.power) / 3, found.pairs * variance**2)
    return evidence(_WINDOWED * max(abs(found.product) - slack, 0.0) / math.sqrt(scale))


def rows(found: RowSquares, expected: Sum, forecast: Forecast) -> float:
    """The quietest and the loudest row, by their sums of squares."""
    rms = math.hypot(forecast.mean, forecast.std)
    slack = found.width * rms * 4 * forecast.slack
    scores = (expected.score(total, slack) for total in (found.least, found.greatest))
    return evidence(max(map(abs, scores))) - math.log(found.rows)


def orthogonality(found: Products, gain: float, tolerance: float) -> float:
    """|W W^T / gain^2 - I| of the lines looked at, as a share of what rounding explains."""
    square = gain**2
    most = max(found.cross, found.greatest - square, square - found.least)
    return most / (square * tolerance)
