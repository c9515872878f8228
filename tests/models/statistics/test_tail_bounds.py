"""Bounds on sums, against the exact tails of laws that scipy knows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.statistics.distribution import Law
from seedpoint.models.statistics.tail_bounds import (
    BUDGET,
    MOMENT_SHARE,
    OTHER_SHARE,
    Sum,
    Term,
    evidence,
    evidence_limit,
    score_limit,
)

F32 = BY_NAME["float32"]


def squares(count):
    points = Law.of(Normal.of(0.0, 1.0)).points_around(0.0)
    return Sum([Term(count, points.values**2, points.weights)])


def test_all_criteria_together_have_no_more_than_the_budget():
    assert 2 * MOMENT_SHARE + 7 * OTHER_SHARE <= 1
    both_tails = 2 * math.exp(-(score_limit() ** 2) / 2)
    assert both_tails == pytest.approx(MOMENT_SHARE * BUDGET)
    assert math.exp(-evidence_limit()) == pytest.approx(OTHER_SHARE * BUDGET)
    assert math.exp(-evidence_limit(laws=5)) == pytest.approx(OTHER_SHARE * BUDGET / 5)
    assert evidence(score_limit(share=OTHER_SHARE)) == pytest.approx(evidence_limit())


@pytest.mark.parametrize("count", [1, 2, 5, 20, 100, 3000, 10**6])
@pytest.mark.parametrize("probability", [1e-2, 1e-5, 1e-9, 1e-11, 1e-16])
def test_the_squares_of_normal_values_have_no_heavier_tails_than_told(count, probability):
    """Their sum is a chi-square; the bound is on its tail, and within a factor of its size."""
    law = scipy.stats.chi2(count)
    for total in (law.isf(probability), law.ppf(probability)):
        score = squares(count).score(float(total))
        assert probability <= math.exp(-(score**2) / 2) * (1 + 1e-6)
        if count >= 20:
            assert abs(score) == pytest.approx(scipy.stats.norm.isf(probability), rel=0.06)


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("probability", [1e-3, 1e-8])
def test_counts_have_no_heavier_tails_than_told(share, probability):
    counted = Sum([Term(1000, np.array([0.0, 1.0]), np.array([1 - share, share]))])
    law = scipy.stats.binom(1000, share)
    upper = int(law.isf(probability)) + 1
    assert law.sf(upper - 1) <= math.exp(-(counted.score(upper) ** 2) / 2)
    lower = int(law.ppf(probability))
    assert law.cdf(lower) <= math.exp(-(counted.score(lower) ** 2) / 2) * (1 + 1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_bounded_law_is_bounded_up_to_its_ends(count):
    points = Law.of(Uniform.of(-1.0, 1.0)).points(F32)
    total = Sum([Term(count, points.values, points.weights)])
    for off in (1e-1, 1e-3, 1e-6):
        score = total.score(count * (1 - off))
        assert math.isfinite(score)
        exact = (off * count / 2) ** count / math.factorial(count)  # a corner of the cube
        assert exact <= math.exp(-(score**2) / 2)
    assert total.score(count * 1.001) == math.inf


def test_two_values_of_equal_probability_have_squares_that_do_not_vary():
    squared = Sum([Term(5000, np.array([1.0, 1.0]), np.array([0.5, 0.5]))])
    assert squared.score(5000.0) == 0.0
    assert squared.score(4999.0, slack=0.5) == -math.inf


def test_a_sum_of_normal_values_has_its_z_score():
    points = Law.of(Normal.of(0.0, 1.0)).points(F32)
    total = Sum([Term(100, points.values, points.weights)])
    for z in (-8.0, -3.0, 0.5, 2.0, 6.0):
        assert total.score(10 * z) == pytest.approx(z, rel=1e-4)
