"""Histograms as JSON, and of several tensors."""

from __future__ import annotations

import numpy as np

from seedpoint.models.statistics import histogram
from seedpoint.models.statistics.histogram import BINS, Histogram


def counted(low: float, high: float, count: int, of: int | None = None) -> Histogram:
    return histogram.count(np.linspace(low, high, count, dtype=np.float32), low, high, of or count)


def test_a_histogram_of_one_tensor_counts_what_is_sampled():
    body = counted(-1.0, 2.0, 1000, of=5000).to_json()
    assert sum(body["bins"]) == body["sampled"] == 1000
    assert (body["min"], body["max"], body["of"]) == (-1.0, 2.0, 5000)


def test_one_histogram_is_given_back_and_none_is_none():
    single = counted(0.0, 1.0, 100)
    assert histogram.merged([single]) is single
    assert histogram.merged([]) is None


def test_several_are_weighted_by_the_sizes_of_their_tensors():
    both = histogram.merged([counted(0.0, 1.0, 640, of=6400), counted(1.0, 2.0, 640)])
    assert both is not None
    assert (both.min, both.max, both.sampled, both.of) == (0.0, 2.0, 1280, 7040)
    assert both.estimated
    assert both.bins.sum() == 7040
    assert both.bins[: BINS // 2].sum() == 6400


def test_tensors_of_one_value_fall_in_one_bin_or_are_spread_over_it():
    zeros = histogram.count(np.zeros(8, np.float32), 0.0, 0.0, 8)
    both = histogram.merged([zeros, counted(0.0, 1.0, 64)])
    assert both is not None
    assert both.bins[0] == 9
    same = histogram.merged([zeros, zeros])
    assert same is not None
    assert same.bins.sum() == 16
