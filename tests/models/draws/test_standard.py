"""Standard variables against scipy's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from seedpoint.models.draws.standard import NORMAL, UNIFORM, Exponential, Line, Variable, moments

VARIABLES = pytest.mark.parametrize(
    ("variable", "law"),
    [
        (UNIFORM, stats.uniform(-1, 2)),
        (NORMAL, stats.norm()),
        (Exponential(UNIFORM, 4.0, -4.0), stats.loguniform(math.exp(-8), 1)),
        (Exponential(UNIFORM, 60.0, -60.0), stats.loguniform(math.exp(-120), 1)),
        (Exponential(NORMAL, 0.5, 0.25), stats.lognorm(0.5, scale=math.exp(0.25))),
    ],
)


@VARIABLES
def test_probabilities_are_scipys_also_far_in_the_tails(variable: Variable, law: stats.rv) -> None:
    start, stop = max(variable.start, -8.0), min(variable.stop, 8.0)
    edges = np.linspace(start, stop, 41)
    is_low = law.cdf(edges[1:]) < 0.5
    expected = np.where(is_low, np.diff(law.cdf(edges)), -np.diff(law.sf(edges)))
    np.testing.assert_allclose(variable.masses(edges), expected, rtol=1e-9, atol=1e-300)
    each = [variable.between(a, b) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(each, expected, rtol=1e-9, atol=1e-300)


@VARIABLES
def test_nodes_have_the_moments_of_the_density(variable: Variable, law: stats.rv) -> None:
    x, weights = variable.nodes(variable.start, variable.stop)
    assert weights.sum() == pytest.approx(1.0, abs=1e-13)
    mean, variance, fourth = moments(x, weights)
    found = (mean, variance**0.5, fourth / variance**2 - 3)
    assert found == pytest.approx((law.mean(), law.std(), float(law.stats(moments="k"))))
    if (known := variable.moments(1.0, 0.0)) is not None:
        assert found == pytest.approx(known, abs=1e-12)


def test_a_part_of_a_line_has_the_std_of_the_part() -> None:
    line = Line(NORMAL, 2.0, 5.0, -1.0, 3.0)
    assert line.std == pytest.approx(stats.truncnorm(-1, 3, 5, 2).std())


def test_an_interval_beyond_every_value_has_no_nodes() -> None:
    assert all(len(part) == 0 for part in NORMAL.nodes(10.0, 11.0))
