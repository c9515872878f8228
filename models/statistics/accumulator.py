"""One floating tensor's statistics, gathered in one pass and merged in a fixed order.

A tensor is summarized in blocks of `BLOCK_ELEMENTS`, and the blocks' summaries are merged
along the binary tree over block indices. So every bit of a result depends on the values
alone: not on which thread brought a block, nor when, nor with which others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from models.dtypes import DType
from models.statistics import histogram, moments
from models.statistics.histogram import Histogram
from models.statistics.moments import Rows, Values

BLOCK_ELEMENTS = 1 << 16

MEASURED = (
    *("numel", "mean", "std", "rms", "min", "max", "abs_max", "l2", "kurtosis"),
    *("zero_fraction", "nan_count", "inf_count", "histogram"),
)
"""The keys of a result."""

_NATIVE = {"float32": np.float32, "float64": np.float64, "bfloat16": np.uint16}


def widened(raw: np.ndarray[Any, np.dtype[np.uint8]], dtype: DType) -> Values:
    """Little-endian bytes of a floating `dtype` as values an accumulator takes.

    float32, float64 and bfloat16 (its bits) without a copy, the others as float32, exactly.
    """
    if dtype.name in _NATIVE:
        return raw.view(_NATIVE[dtype.name])
    narrow = torch.from_numpy(raw).view(dtype.torch)
    wide: Values = narrow.to(torch.float32).numpy()
    return wide


class TensorAccumulator:
    """Gathers one floating tensor's statistics, block by block, from any threads.

    Memory: a few hundred bytes for each block that waits for its neighbour in the tree
    (about log2 of their number when they come in order), and the sampled blocks, at most
    2^20 elements, until all have come.
    """

    def __init__(self, numel: int, dtype: DType) -> None:
        assert dtype.is_floating, dtype
        self.numel = numel
        self.dtype = dtype
        self.row: Rows | None = None
        self.histogram: Histogram | None = None
        self._blocks = -(-numel // BLOCK_ELEMENTS)
        self._top = max(self._blocks - 1, 0).bit_length()
        sampled = histogram.sampled_blocks(self._blocks)
        self._slots = {block: slot * BLOCK_ELEMENTS for slot, block in enumerate(sampled)}
        self._sample: Values | None = None
        self._waiting: dict[tuple[int, int], Rows] = {}
        self._lock = threading.Lock()
        if not numel:
            self.row = _nothing()

    @property
    def done(self) -> bool:
        """Whether every block has come."""
        return self.row is not None

    def add_block(self, index: int, values: Values) -> None:
        """Adds the elements from index * BLOCK_ELEMENTS on: a whole block, or several.

        `values`, one-dimensional and contiguous, is float32, float64 or (bits of bfloat16)
        uint16; it is not kept. Each block comes once; only the tensor's last may be shorter.

        Raises:
            ValueError: For a range that is not whole blocks, or has come before.
        """
        start, stop = index * BLOCK_ELEMENTS, index * BLOCK_ELEMENTS + len(values)
        whole = stop % BLOCK_ELEMENTS == 0 or stop == self.numel
        if not (0 <= start < stop <= self.numel and whole):
            raise ValueError(f"elements [{start}, {stop}) of {self.numel} are not whole blocks")
        count = -(-len(values) // BLOCK_ELEMENTS)
        nodes = 2 * count.bit_length() + 2  # two of a level, and what is being merged
        rows, keys = np.empty((nodes, len(moments.FIELDS))), np.empty((nodes, 2), np.int64)
        nodes = moments.measure(values, index, BLOCK_ELEMENTS, rows, keys)
        for block in range(index, index + count):
            if block in self._slots:
                piece = values[(block - index) * BLOCK_ELEMENTS :][:BLOCK_ELEMENTS]
                self._keep(self._slots[block], piece)
        with self._lock:
            for node in range(nodes):
                self._climb(int(keys[node, 0]), int(keys[node, 1]), rows[node])

    def result(self) -> dict[str, Any]:
        """The statistics, ready for JSON; null where undefined.

        Raises:
            ValueError: When blocks are missing.
        """
        return summary([self])

    def _keep(self, slot: int, piece: Values) -> None:
        """Copies a sampled block to its own place."""
        with self._lock:
            if self._sample is None:
                size = min(self.numel, len(self._slots) * BLOCK_ELEMENTS)
                self._sample = _empty(size, piece.dtype)
        self._sample[slot : slot + len(piece)] = piece

    def _climb(self, level: int, place: int, row: Rows) -> None:
        """Merges a node with its sibling, and so on upwards, as far as siblings are there.

        A node without any block to its right stands for its parent too.
        """
        while level < self._top:
            sibling = place ^ 1
            if sibling < place or sibling << level < self._blocks:
                other = self._waiting.pop((level, sibling), None)
                if other is None:
                    if (level, place) in self._waiting:
                        raise ValueError(f"block {place << level} has come before")
                    self._waiting[level, place] = row
                    return
                left, right = (other, row) if sibling < place else (row, other)
                moments.merge(left, right, row)
            level, place = level + 1, place >> 1
        self._finish(row)

    def _finish(self, row: Rows) -> None:
        if row[moments.COUNT] != self.numel or self.row is not None:
            raise ValueError("a block has come twice")
        low, high = float(row[moments.MIN]), float(row[moments.MAX])
        sample, self._sample = self._sample, None
        assert sample is not None
        if row[moments.NANS] + row[moments.INFS]:
            sample = _finite(sample)
        if low <= high:
            self.histogram = histogram.count(sample, low, high, self.numel)
        self.row = row


def summary(accumulators: Iterable[TensorAccumulator]) -> dict[str, Any]:
    """The statistics of all elements together, merged in the order given.

    Moments and extremes are null where there are no elements or any that is not finite,
    kurtosis (excess) also where std is 0, the histogram where no element is finite.

    Raises:
        ValueError: When blocks are missing.
    """
    total, histograms = _nothing(), []
    for accumulator in accumulators:
        if accumulator.row is None:
            raise ValueError("not every block has come")
        moments.merge(total, accumulator.row, total)
        if accumulator.histogram is not None:
            histograms.append(accumulator.histogram)
    counted = histogram.merged(histograms)
    return {**_summarized(total), "histogram": None if counted is None else counted.to_json()}


def _nothing() -> Rows:
    """The row of no elements."""
    row = np.zeros(len(moments.FIELDS))
    row[moments.MIN], row[moments.MAX] = math.inf, -math.inf
    return row


def _empty(size: int, dtype: np.dtype[Any]) -> Values:
    """Room for `size` elements.

    From 4 MiB on NumPy asks for huge pages; with small ones their first touch would cost
    several times what the copy does, and as much as generating the elements.
    """
    size_bytes = size * dtype.itemsize
    room_bytes = size_bytes if size_bytes < 1 << 17 else max(size_bytes, 1 << 22)
    return np.empty(room_bytes, np.uint8)[:size_bytes].view(dtype)


def _finite(values: Values) -> Values:
    wide = (
        (values.astype(np.uint32) << 16).view(np.float32) if values.dtype == np.uint16 else values
    )
    kept: Values = wide[np.isfinite(wide)]
    return kept


def _summarized(row: Rows) -> dict[str, Any]:
    """A row's statistics without the histogram, in the order of `MEASURED`."""
    count, mean, m2, _, m4, low, high, zeros, nans, infs = map(float, row)
    defined = count > 0 and nans + infs == 0
    squares = m2 + count * mean * mean
    found = {
        "mean": mean,
        "std": math.sqrt(m2 / count) if m2 >= 0 and count else math.nan,
        "rms": math.sqrt(squares / count) if squares >= 0 and count else math.nan,
        "min": low,
        "max": high,
        "abs_max": max(abs(low), abs(high)),
        "l2": math.sqrt(squares) if squares >= 0 else math.nan,
        "kurtosis": count * m4 / m2 / m2 - 3 if m2 > 1e-140 else math.nan,
    }
    numbers = {key: x if defined and math.isfinite(x) else None for key, x in found.items()}
    return {
        "numel": int(count),
        **numbers,
        "zero_fraction": zeros / count if count else None,
        "nan_count": int(nans),
        "inf_count": int(infs),
    }
