"""The kernels: a block's summary against NumPy, merging, and the same bits on any CPU."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.statistics import moments
from seedpoint.models.statistics.accumulator import BLOCK_ELEMENTS
from tests.support.generic_cpu import on_generic_cpu

SIZES = [1, 2, 15, 16, 17, 31, 100, 4097, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS]


def summarize(values):
    """The row of one block."""
    rows, keys = np.empty((64, len(moments.FIELDS))), np.empty((64, 2), np.int64)
    assert moments.measure(values, 0, BLOCK_ELEMENTS, rows, keys) == 1
    return rows[0].copy()


def by_numpy(values):
    """The same by two passes in long doubles."""
    finite = values[np.isfinite(values)]
    x = values.astype(np.longdouble)
    mean = x.mean()
    central = [float(((x - mean) ** order).sum()) for order in (2, 3, 4)]
    return [
        len(x),
        float(mean),
        *central,
        finite.min() if len(finite) else np.inf,
        finite.max() if len(finite) else -np.inf,
        (x == 0).sum(),
        np.isnan(x).sum(),
        np.isinf(x).sum(),
    ]


def assert_same(row, oracle, relative=1e-12):
    count, mean, m2, m3, m4 = row[:5]
    assert count == oracle[0]
    std = np.sqrt(oracle[2] / count)
    assert mean == pytest.approx(oracle[1], rel=relative, abs=relative * std)
    assert m2 == pytest.approx(oracle[2], rel=relative)
    assert m3 == pytest.approx(oracle[3], rel=relative, abs=10 * relative * count * std**3)
    assert m4 == pytest.approx(oracle[4], rel=10 * relative)
    np.testing.assert_array_equal(row[5 : moments.SEGMENTS], oracle[5:])


def bfloat16_bits(values):
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


def bfloat16_values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_has_numpys_moments(size, dtype):
    values = np.random.default_rng(size).normal(0.3, 2.0, size).astype(dtype)
    assert_same(summarize(values), by_numpy(values))


@pytest.mark.parametrize("size", SIZES)
def test_bfloat16_bits_have_the_moments_of_their_values(size):
    bits = bfloat16_bits(np.random.default_rng(size).normal(0, 0.02, size).astype(np.float32))
    assert_same(summarize(bits), by_numpy(bfloat16_values(bits)))


@pytest.mark.parametrize("ratio", [3, 5, 30, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mean_far_above_the_std_cancels_nothing(ratio, dtype):
    values = np.random.default_rng(0).normal(-ratio, 1, BLOCK_ELEMENTS).astype(dtype)
    values[:300] = 0  # and the first elements say nothing of the others
    assert_same(summarize(values), by_numpy(values))
    assert_same(summarize(values[300:]), by_numpy(values[300:]))


@pytest.mark.parametrize("value", [0.1, 1e-30, -3e38, 2.0])
def test_a_constant_is_its_own_mean_without_spread(value):
    row = summarize(np.full(1000, value, np.float32))
    exact = float(np.float32(value))
    assert list(row[: moments.SEGMENTS]) == [1000, exact, 0, 0, 0, exact, exact, 0, 0, 0]


def test_negative_zeros_and_subnormals_are_told_apart():
    values = np.array([0.0, -0.0, 1e-45, -1e-45] * 10, np.float32)
    row = summarize(values)
    assert row[moments.ZEROS] == 20
    assert (row[moments.MIN], row[moments.MAX]) == (values.min(), values.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [5, 16, 1000])
def test_nan_and_infinity_are_counted_and_leave_finite_extremes(dtype, size):
    values = np.arange(size).astype(dtype)
    values[1], values[2], values[3] = np.nan, np.inf, -np.inf
    row = summarize(values)
    assert (row[moments.NANS], row[moments.INFS], row[moments.ZEROS]) == (1, 2, 1)
    assert (row[moments.MIN], row[moments.MAX]) == (0, size - 1)
    assert np.isnan(row[moments.MEAN])


def test_a_block_without_a_finite_value_has_no_extremes():
    row = summarize(np.full(20, np.nan, np.float32))
    assert (row[moments.MIN], row[moments.MAX], row[moments.NANS]) == (np.inf, -np.inf, 20)


def test_float64_squares_past_the_range_are_not_finite_but_extremes_are():
    row = summarize(np.array([1e200, -1e200, 0.0, 3.0] * 8))
    assert not np.isfinite(row[moments.M4])
    assert list(row[5 : moments.SEGMENTS]) == [-1e200, 1e200, 8, 0, 0]


finite = st.floats(-1e6, 1e6, width=32)
arrays = st.lists(finite, min_size=1, max_size=60).map(lambda x: np.array(x, np.float32))


@given(arrays, arrays)
def test_merged_rows_are_the_row_of_the_whole(a, b):
    out = np.empty(len(moments.FIELDS))
    moments.merge(summarize(a), summarize(b), out)
    whole = by_numpy(np.concatenate([a, b]))
    size = max(float(np.abs(a).max()), float(np.abs(b).max())) + 1e-30
    for order in (2, 3, 4):
        field = moments.M2 + order - 2
        assert out[field] == pytest.approx(whole[field], abs=1e-12 * whole[0] * size**order)
    np.testing.assert_array_equal(out[5 : moments.SEGMENTS], whole[5:])
    assert out[moments.MEAN] == pytest.approx(whole[1], abs=1e-14 * size)


@given(arrays)
def test_a_row_of_nothing_merges_to_the_other(a):
    nothing = np.zeros(len(moments.FIELDS))
    nothing[moments.MIN], nothing[moments.MAX] = np.inf, -np.inf
    out = np.empty_like(nothing)
    moments.merge(summarize(a), nothing, out)
    np.testing.assert_array_equal(out, summarize(a))
    moments.merge(nothing, summarize(a), out)
    np.testing.assert_array_equal(out, summarize(a))


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 8, 13])
def test_measured_runs_leave_whole_subtrees(blocks):
    rows, keys = np.empty((64, len(moments.FIELDS))), np.empty((64, 2), np.int64)
    values = np.random.default_rng(1).random(blocks * 32 - 5).astype(np.float32)
    count = moments.measure(values, 3, 32, rows, keys)
    covered = [
        block
        for level, place in keys[:count].tolist()
        for block in range(place << level, (place + 1) << level)
    ]
    assert covered == list(range(3, 3 + blocks))
    assert rows[:count, moments.COUNT].sum() == len(values)


@settings(max_examples=30)
@given(st.integers(1, 2000), st.sampled_from([1.0, 0.02, 1e-7]), st.integers(0, 2**32 - 1))
def test_the_histogram_is_torchs(size, std, seed):
    values = np.random.default_rng(seed).normal(0, std, size)
    low, high = values.min(), values.max()
    if low == high:
        return
    counts = np.zeros(64, np.int64)
    moments.histogram(values, low, high, counts)
    oracle = torch.histc(torch.from_numpy(values), 64, low, high).numpy()
    assert counts.sum() == size
    # A value within rounding of an edge may fall on either side of it.
    assert np.abs(np.cumsum(counts) - np.cumsum(oracle)).max() <= 2


def test_a_histogram_of_exact_edges_is_exactly_torchs():
    values = np.arange(-64, 65, dtype=np.float32).repeat(3)
    counts = np.zeros(64, np.int64)
    moments.histogram(values, -64.0, 64.0, counts)
    np.testing.assert_array_equal(counts, torch.histc(torch.from_numpy(values), 64, -64, 64))


@pytest.mark.parametrize(
    ("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (0.1, 0.1), (-1e-310, 1e-310)]
)
def test_histograms_of_extreme_ranges_lose_nothing(low, high):
    counts = np.zeros(64, np.int64)
    moments.histogram(np.array([low, high, low, high, low]), low, high, counts)
    assert counts.sum() == 5
    assert counts[0] >= 3


def digest():
    """The digest of every bit that the kernels give for values of all kinds."""
    generator = np.random.default_rng(5)
    state = hashlib.sha256()
    for size in (5, 16, 1000, 70_000):
        single = generator.normal(2, 1, size).astype(np.float32)
        for values in (single, single * 1e-30, single.astype(np.float64), single + 100):
            rows, keys = np.zeros((64, len(moments.FIELDS))), np.zeros((64, 2), np.int64)
            moments.measure(values, 0, BLOCK_ELEMENTS, rows, keys)
            counts = np.zeros(64, np.int64)
            moments.histogram(values, float(values.min()), float(values.max()), counts)
            state.update(rows.tobytes() + keys.tobytes() + counts.tobytes())
        rows = np.zeros((64, len(moments.FIELDS)))
        moments.measure(bfloat16_bits(single), 0, BLOCK_ELEMENTS, rows, keys)
        moments.merge(rows[0], rows[1], rows[2])
        state.update(rows.tobytes())
    return state.hexdigest()


def test_a_cpu_without_vectors_or_fused_arithmetic_gives_the_same_bits(tmp_path):
    assert on_generic_cpu(__name__, "digest()", tmp_path) == digest()


def test_kurtosis_is_scipys():
    values = np.random.default_rng(3).gamma(2.0, size=50_000)
    row = summarize(values)
    kurtosis = row[moments.COUNT] * row[moments.M4] / row[moments.M2] ** 2 - 3
    assert kurtosis == pytest.approx(scipy.stats.kurtosis(values), rel=1e-12)


def test_warming_up_compiles_what_is_used_later():
    moments.warm_up()
    compiled = [len(k.signatures) for k in (moments.measure, moments.histogram, moments.merge)]
    summarize(np.ones(3, np.float32))
    summarize(np.ones(3, np.uint16))
    moments.histogram(np.ones(3), 0.0, 2.0, np.zeros(64, np.int64))
    after = [len(k.signatures) for k in (moments.measure, moments.histogram, moments.merge)]
    assert after == compiled
