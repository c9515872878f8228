"""One floating tensor's statistics, gathered in one pass and merged in a fixed order.

A tensor is summarized in blocks of `BLOCK_ELEMENTS`, and the blocks' summaries are merged
along the binary tree over block indices. So every bit of a result depends on the values
alone: not on which thread brought a block, nor when, nor with which others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.statistics import histogram, moments
from seedpoint.models.statistics.histogram import Histogram
from seedpoint.models.statistics.known_values import Comparison, Known
from seedpoint.models.statistics.merge_tree import Tree, nothing
from seedpoint.models.statistics.moments import Rows, Values
from seedpoint.models.statistics.strata import Stratum
from seedpoint.models.stream import float4
from seedpoint.models.stream.float4 import FLOAT4

BLOCK_ELEMENTS = 1 << 16

MEASURED = (
    *("numel", "mean", "std", "rms", "min", "max", "abs_max", "l2", "kurtosis", "skewness"),
    *("zero_fraction", "nan_count", "inf_count", "finite_min", "finite_max", "histogram"),
)
"""The keys of a result."""

_NATIVE = {"float32": np.float32, "float64": np.float64, "bfloat16": np.uint16}


def widened(raw: np.ndarray[Any, np.dtype[np.uint8]], dtype: DType) -> Values:
    """Little-endian bytes of a floating `dtype` as values an accumulator takes.

    float32, float64 and bfloat16 (its bits) without a copy, the others as float32, exactly.
    """
    if dtype.name in _NATIVE:
        return raw.view(_NATIVE[dtype.name])
    if dtype.name == FLOAT4:
        return float4.numbers(raw)
    narrow = torch.from_numpy(raw).view(dtype.torch)
    wide: Values = narrow.to(torch.float32).numpy()
    return wide


class TensorAccumulator:
    """Accumulator of one floating tensor's statistics, block by block, from any threads.

    Memory: a few hundred bytes for each block that waits for its neighbour in the tree
    (about log2 of their number when they come in order), and the sampled blocks, at most
    2^20 elements, until all have come. `strata` gather what is judged beside moments, and
    `known` holds the right value of every element.
    """

    def __init__(
        self,
        numel: int,
        dtype: DType,
        *,
        strata: Sequence[Stratum] = (),
        known: Known | None = None,
    ) -> None:
        assert dtype.is_floating, dtype
        self.numel = numel
        self.dtype = dtype
        self.row: Rows | None = None
        self.histogram: Histogram | None = None
        self.strata = tuple(strata)
        self.comparison = None if known is None else Comparison(known)
        self._blocks = blocks_of(numel)
        self._tree = Tree(self._blocks)
        sampled = histogram.sampled_blocks(self._blocks)
        self._slots = {block: slot * BLOCK_ELEMENTS for slot, block in enumerate(sampled)}
        self._sample: Values | None = None
        self._lock = threading.Lock()
        if not numel:
            self.row = nothing()

    @property
    def done(self) -> bool:
        """Return whether every block has come."""
        return self.row is not None

    @property
    def waiting_blocks(self) -> int:
        """Number of summaries that wait for their neighbour in the tree."""
        return len(self._tree.waiting)

    @property
    def sampled_elements(self) -> int:
        """Size, in elements, of the sample; 0 before its first block and after the last block."""
        return 0 if self._sample is None else len(self._sample)

    def add(self, index: int, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Add the elements from index * BLOCK_ELEMENTS on, given as their bytes."""
        if self.comparison is not None:
            self.comparison.add(index * BLOCK_ELEMENTS, raw)
        self.add_block(index, widened(raw, self.dtype))

    def add_block(self, index: int, values: Values) -> None:
        """Add the elements from index * BLOCK_ELEMENTS on: a whole block, or several.

        `values`, one-dimensional and contiguous, is float32, float64 or (bits of bfloat16)
        uint16; it is not kept. Each block comes once; only the tensor's last may be shorter.

        Raises:
            ValueError: For a range that is not whole blocks, or has come before.
        """
        start, stop = index * BLOCK_ELEMENTS, index * BLOCK_ELEMENTS + len(values)
        whole = stop % BLOCK_ELEMENTS == 0 or stop == self.numel
        if not (0 <= start < stop <= self.numel and whole):
            raise ValueError(f"elements [{start}, {stop}) of {self.numel} are not whole blocks")
        count = blocks_of(len(values))
        nodes = 2 * count.bit_length() + 2  # two of a level, and what is being merged
        rows, keys = np.empty((nodes, len(moments.FIELDS))), np.empty((nodes, 2), np.int64)
        nodes = moments.measure(values, index, BLOCK_ELEMENTS, rows, keys)
        parts: list[tuple[Stratum, int, Rows]] = []
        for block in range(index, index + count):
            piece = values[(block - index) * BLOCK_ELEMENTS :][:BLOCK_ELEMENTS]
            if block in self._slots:
                self._keep(self._slots[block], piece)
            looked = ((s, s.look(block * BLOCK_ELEMENTS, piece)) for s in self.strata)
            parts += [(stratum, block, row) for stratum, row in looked if row is not None]
        with self._lock:
            for stratum, block, row in parts:
                stratum.climb(block, row)
            for node in range(nodes):
                root = self._tree.climb(int(keys[node, 0]), int(keys[node, 1]), rows[node])
                if root is not None:
                    self._finish(root)

    def result(self) -> dict[str, Any]:
        """The statistics, ready for JSON; null where undefined.

        Raises:
            ValueError: When blocks are missing.
        """
        return summary([self])

    def _keep(self, slot: int, piece: Values) -> None:
        """Copy a sampled block to its place in the sample."""
        with self._lock:
            if self._sample is None:
                size = min(self.numel, len(self._slots) * BLOCK_ELEMENTS)
                self._sample = _empty(size, piece.dtype)
        self._sample[slot : slot + len(piece)] = piece

    def _finish(self, row: Rows) -> None:
        if row[moments.COUNT] != self.numel or self.row is not None:
            raise ValueError("a block has come twice")
        low, high = float(row[moments.MIN]), float(row[moments.MAX])
        sample, self._sample = self._sample, None
        assert sample is not None
        pieces = [
            (block * BLOCK_ELEMENTS, sample[slot : slot + BLOCK_ELEMENTS])
            for block, slot in self._slots.items()
        ]
        if self.numel == len(sample):
            pieces = [(0, sample)]
        for stratum in self.strata:
            stratum.finish(row, pieces)
        if row[moments.NANS] + row[moments.INFS]:
            sample = _finite(sample)
        if low <= high:
            self.histogram = histogram.count(sample, low, high, self.numel)
        self.row = row


def blocks_of(numel: int) -> int:
    """Return the number of blocks that hold `numel` elements."""
    return -(-numel // BLOCK_ELEMENTS)


class Gathered(Protocol):
    """A set of elements with their moments and histogram, once all have been seen."""

    @property
    def row(self) -> Rows | None: ...

    @property
    def histogram(self) -> Histogram | None: ...


def summary(gathered: Iterable[Gathered]) -> dict[str, Any]:
    """The statistics of all elements together, merged in the order given.

    Moments and extremes are null where there are no elements or any that is not finite,
    kurtosis (excess) and skewness also where std is 0; the histogram, and the extremes of the
    finite elements, where no element is finite.

    Raises:
        ValueError: When blocks are missing.
    """
    total, histograms = nothing(), []
    for accumulator in gathered:
        if accumulator.row is None:
            raise ValueError("not every block has come")
        moments.merge(total, accumulator.row, total)
        if accumulator.histogram is not None:
            histograms.append(accumulator.histogram)
    counted = histogram.merged(histograms)
    return {**_summarized(total), "histogram": None if counted is None else counted.to_json()}


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
    count, mean, m2, m3, m4, low, high, zeros, nans, infs = row[: moments.SEGMENTS].tolist()
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
        "skewness": m3 / m2 * math.sqrt(count / m2) if m2 > 1e-140 else math.nan,
    }
    numbers: Mapping[str, float | None] = found
    if not (defined and all(map(math.isfinite, found.values()))):
        numbers = {key: x if defined and math.isfinite(x) else None for key, x in found.items()}
    return {
        "numel": int(count),
        **numbers,
        "zero_fraction": zeros / count if count else None,
        "nan_count": int(nans),
        "inf_count": int(infs),
        "finite_min": low if low <= high else None,
        "finite_max": high if low <= high else None,
    }
