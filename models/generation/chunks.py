"""Chunks of a file, cut so that each begins and ends at whole blocks of its tensors.

A chunk consists of whole blocks, which are generated at once and which a tensor's statistics take
unchanged: one pass yields the bytes and the statistics.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from seedpoint.models.files.layout import Entry, File
from seedpoint.models.generation.evaluator import ByteArray, Evaluator, Observer
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS, CheckpointStatistics

# granularity of chunk sizes and alignment of output buffers
ALIGNMENT_BYTES = 64
BLOCK_BYTES = BLOCK_ELEMENTS * 8
"""Largest block, and so the largest chunk when fewer bytes are requested."""


def cuts(
    file: File, tensors: Sequence[PlanTensor], start: int, stop: int, nbytes: int
) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges of about `nbytes` that cover bytes [start, stop) of `file`.

    Inside a tensor, cuts are only at multiples of BLOCK_ELEMENTS elements, so no range is longer
    than `nbytes`, or than one block if that is more. `tensors` are the tensors of the layout. Each
    range takes O(log entries).
    """
    nbytes = max(nbytes // ALIGNMENT_BYTES, 1) * ALIGNMENT_BYTES
    while start < stop:
        end = start + nbytes
        end = _at_block(file, tensors, start, end) if end < stop else stop
        yield start, min(end, stop)
        start = end


def _at_block(file: File, tensors: Sequence[PlanTensor], start: int, end: int) -> int:
    """Return the last cut after `start` and up to `end`, or else the first cut beyond `end`."""
    at = bisect_right(file.entries, end, key=lambda entry: entry.stop_byte)
    if at == len(file.entries) or (entry := file.entries[at]).start_byte >= end:
        return end
    block = tensors[entry.tensor].dtype.nbytes(BLOCK_ELEMENTS)
    below = end - (end - entry.start_byte) % block
    return below if below > start else min(below + block, entry.stop_byte)


class Observed:
    """Reader of a checkpoint's files that passes the values to its statistics."""

    def __init__(self, evaluator: Evaluator, statistics: CheckpointStatistics) -> None:
        self._evaluator = evaluator
        self._statistics = statistics

    def read(self, file: File, start: int, stop: int, out: ByteArray) -> None:
        """Read bytes [start, stop) of `file`, one of the ranges from `cuts`, into `out`.

        `out` is aligned to ALIGNMENT_BYTES or to the largest element. Each range must be read once.
        """
        literal = file.head[start:stop]
        out[: len(literal)] = np.frombuffer(literal, np.uint8)
        for entry, first, last in file.within(start, stop):
            dtype = self._evaluator.plan.tensors[entry.tensor].dtype
            low, high = (dtype.elements(byte - entry.start_byte) for byte in (first, last))
            piece = out[first - start : last - start]
            self._evaluator.fill(entry.tensor, low, high, piece, self._observer(entry))

    def _observer(self, entry: Entry) -> Observer | None:
        """Return the tensor's observer; None for its copies under aliases."""
        tensor = self._evaluator.plan.tensors[entry.tensor]
        return self._statistics.observers.get(entry.name) if entry.name == tensor.name else None
