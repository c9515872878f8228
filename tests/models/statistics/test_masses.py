"""Kernels for bins and tails, against numpy and scipy."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from seedpoint.models.draws.standard import NORMAL, UNIFORM, Exponential
from seedpoint.models.statistics import masses

WHOLE_AXIS = np.array([[-math.inf, math.inf, 2.0, 0.5]])
FALLING = np.array([[-1.0, 1.0, -3.0, 0.0]])


@pytest.mark.parametrize("value", [-30.0, -2.0, 0.5, 3.0, 30.0])
def test_the_tails_of_a_normal_law_keep_their_precision(value):
    law = stats.norm(0.5, 2.0)
    upper = masses.tails(WHOLE_AXIS, NORMAL.form, value, value + 1, True)
    lower = masses.tails(WHOLE_AXIS, NORMAL.form, value, value - 1, False)
    assert upper == pytest.approx((law.sf(value), law.sf(value + 1)), rel=1e-12, abs=0)
    assert lower == pytest.approx((law.cdf(value), law.cdf(value - 1)), rel=1e-12, abs=0)


def test_the_tails_and_bins_of_an_exponential_are_those_of_its_logarithm():
    law, line = stats.loguniform(1e-4, 1.0), np.array([[1e-4, 1.0, 1.0, 0.0]])
    form = Exponential(UNIFORM, math.log(1e4) / 2, -math.log(1e4) / 2).form
    assert masses.tails(line, form, 0.3, 0.9, True) == pytest.approx((law.sf(0.3), law.sf(0.9)))
    lower = masses.tails(line, form, 3e-4, -1.0, False)
    assert lower == pytest.approx((law.cdf(3e-4), 0.0), abs=1e-15)
    shares, edges = np.zeros(64), np.linspace(-0.5, 1.1, 65)
    masses.line_shares(line, form, -0.5, 1.1, shares)
    assert shares == pytest.approx(np.diff(law.cdf(edges)), abs=1e-14)


def test_the_tails_of_a_falling_line_are_mirrored():
    assert masses.tails(FALLING, UNIFORM.form, 1.5, 3.0, True) == (0.25, 0.0)
    assert masses.tails(FALLING, UNIFORM.form, -1.5, -4.0, False) == (0.25, 0.0)


def test_an_atom_is_in_the_tail_that_begins_at_it_and_in_one_bin():
    lines = np.array([[-1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 2.0]])
    assert masses.tails(lines, UNIFORM.form, 2.0, 2.5, False) == (0.5, 0.625)
    assert masses.tails(lines, UNIFORM.form, 2.0, 2.5, True) == (1.0, 0.375)
    shares = np.zeros(4)
    masses.line_shares(lines, UNIFORM.form, 1.0, 4.0, shares)
    assert shares == pytest.approx([0.0, 0.5 + 0.125, 0.1875, 0.1875])


def test_the_last_bin_holds_an_atom_at_its_end():
    lines = np.array([[-1.0, 1.0, 0.0, 4.0]])
    shares = np.zeros(3)
    masses.line_shares(lines, UNIFORM.form, 1.0, 4.0, shares)
    assert list(shares) == [0.0, 0.0, 1.0]


def test_bins_over_a_whole_normal_law_add_up_to_one():
    shares = np.zeros(64)
    masses.line_shares(WHOLE_AXIS, NORMAL.form, -40.0, 30.0, shares)
    edges = np.linspace(-40.0, 30.0, 65)
    assert shares.sum() == pytest.approx(1.0)
    assert shares == pytest.approx(np.diff(stats.norm(0.5, 2.0).cdf(edges)), abs=1e-15)


ENDS = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(sorted)


@given(st.lists(st.integers(0, 10**6), min_size=64, max_size=64), st.floats(0.5, 40.0), ENDS)
@example([1] + [0] * 63, 1.0, [0.0, sys.float_info.min])
def test_counts_are_spread_as_numpy_interpolates_them(counts, weight, ends):
    start, stop = ends
    mass, places = np.ones(64), np.arange(65) / 64
    masses.spread(np.array(counts), weight, start, stop, mass)
    below = np.concatenate([[0.0], np.cumsum(np.array(counts) * weight)])
    expected = np.ones(64)
    if start == stop:
        expected[min(int(start * 64), 63)] += below[-1]
    else:
        expected += np.diff(np.interp(places, start + (stop - start) * places, below))
    assert np.array_equal(mass, expected)


COUNTS, EXPECTED = np.array([3, 1, 4, 2]), np.array([0.2, 0.2, 0.4, 0.2])
BOTH_SURE = (True, True)


def test_divergence_is_the_relative_entropy_of_the_counts():
    distance, occupied = masses.divergence(COUNTS, EXPECTED, 1, 0.0, BOTH_SURE)
    assert distance == pytest.approx(10 * stats.entropy(COUNTS / 10, EXPECTED))
    assert occupied == 4
    distance, occupied = masses.divergence(COUNTS, EXPECTED, 2, 0.0, BOTH_SURE)
    assert distance == pytest.approx(10 * stats.entropy([0.4, 0.6], [0.4, 0.6]))
    assert occupied == 2


def test_divergence_leaves_out_extremes_that_one_element_is_at():
    fewer = masses.divergence(COUNTS - np.array([1, 0, 0, 1]), EXPECTED, 1, 0.0, BOTH_SURE)
    assert masses.divergence(COUNTS, EXPECTED, 1, 0.0, (False, False)) == fewer


def test_a_sample_without_an_extreme_has_no_fewer():
    """Ten elements: the last bin has the two that are expected, the first has three."""
    fewer = masses.divergence(COUNTS - np.array([1, 0, 0, 0]), EXPECTED, 1, 0.0, BOTH_SURE)
    assert masses.divergence(COUNTS, EXPECTED, 1, 10.0, (False, False)) == fewer


def test_a_value_where_none_is_expected_is_infinitely_far():
    nowhere = np.array([1.0, 0.0])
    found = masses.divergence(np.array([1, 1]), nowhere, 1, 0.0, BOTH_SURE)
    assert found == (math.inf, 1)
