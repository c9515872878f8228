"""Boxes and what no other covers, against masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.statistics.regions import TooManyBoxesError, intersection, size, uncovered

SHAPE = (7, 5, 6)


@st.composite
def axes(draw, length):
    if draw(st.booleans()):
        return tuple(sorted(draw(st.sets(st.integers(0, length - 1)))))
    start = draw(st.integers(0, length))
    return range(start, draw(st.integers(start, length)), draw(st.integers(1, 4)))


boxes = st.tuples(*(axes(length) for length in SHAPE))


def mask(box):
    found = np.zeros(SHAPE, bool)
    found[np.ix_(*(np.array(indices, np.int64) for indices in box))] = True
    return found


@given(boxes, boxes)
def test_an_intersection_holds_the_common_elements(a, b):
    common = intersection(a, b)
    np.testing.assert_array_equal(mask(common), mask(a) & mask(b))
    assert size(common) == (mask(a) & mask(b)).sum()


@given(boxes, st.lists(boxes, max_size=6))
def test_uncovered_counts_what_no_cover_holds(box, covers):
    left = mask(box)
    for cover in covers:
        left &= ~mask(cover)
    assert uncovered(box, covers) == left.sum()


@given(st.integers(0, 50), st.integers(1, 30), st.integers(0, 50), st.integers(1, 30))
def test_strided_ranges_meet_where_both_congruences_hold(a, step_a, b, step_b):
    one, other = range(a, 400, step_a), range(b, 370, step_b)
    (common,) = intersection((one,), (other,))
    assert set(common) == set(one) & set(other)


def test_counting_takes_no_time_that_grows_with_the_elements():
    whole = (range(10**6), range(10**6))
    assert uncovered(whole, [(range(0, 10**6, 3), range(10**6))]) == 10**12 - 333_334 * 10**6


def test_boxes_that_overlap_in_too_many_ways_are_refused():
    choose = np.random.default_rng(0).choice
    many = [tuple(tuple(sorted(choose(9, 5, replace=False))) for _ in "xyz") for _ in range(60)]
    with pytest.raises(TooManyBoxesError, match="overlaps"):
        uncovered((range(9),) * 3, many[:-1])


def test_a_tensor_without_axes_has_one_element():
    assert size(()) == 1
    assert uncovered((), [()]) == 0
    assert math.prod(()) == 1
