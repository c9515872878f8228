"""Evaluation of a part of a tensor: a slice, or the window that a process holds.

A part is rows of equal length, each of the same runs of elements that are contiguous in the tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.runs import Shape, Starts

Runs = tuple[int, int, Starts]
"""Runs with the same place [low, high) in consecutive rows of a part, and where each starts."""


class Part(Protocol):
    """Elements of a tensor in an order of their own: rows, each of the same runs."""

    @property
    def shape(self) -> Shape: ...
    @property
    def numel(self) -> int: ...

    @property
    def row_elements(self) -> int:
        """Number of elements of a row."""

    def rows(self, first: int, last: int) -> Iterator[Runs]:
        """Yield the runs of the rows [first, last), each place in a row once."""


def fill_part(
    evaluator: Evaluator, tensor: int, part: Part, start: int, stop: int, out: ByteArray
) -> None:
    """Write elements [start, stop) of a part of tensor number `tensor` to `out`.

    `out` is as for `Evaluator.fill`.

    Raises:
        ValueError: Elements of the tensor share bytes.
    """
    if evaluator.plan.tensors[tensor].dtype.per_item > 1:
        raise ValueError(f"{evaluator.plan.tensors[tensor].dtype} has no elements of whole bytes")
    size, row = evaluator.plan.tensors[tensor].dtype.itemsize, part.row_elements
    at = start
    while at < stop:
        number, skipped = divmod(at, row)
        whole = 0 if skipped else (stop - at) // row
        end = at + whole * row if whole else min(stop, at + row - skipped)
        piece = out[(at - start) * size : (end - start) * size]
        if whole:
            _rows(evaluator, tensor, part, number, number + whole, piece)
        else:
            _within_row(evaluator, tensor, part, at, end, piece)
        at = end


def indices(part: Part, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return the index in the tensor of each of the elements [start, stop) of a part, in order."""
    row = max(part.row_elements, 1)
    first, last = start // row, -(-stop // row)
    found = np.empty((last - first, row), np.int64)
    for low, high, starts in part.rows(first, last):
        found[:, low:high] = starts[:, None] + np.arange(high - low)
    return found.reshape(-1)[start - first * row : stop - first * row]


def each_run(part: Part, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of elements [start, stop) of a part, as (start, stop) in the tensor."""
    row = part.row_elements
    while start < stop:
        number, skipped = divmod(start, row)
        end = min(stop, (number + 1) * row)
        for low, high, (begin,) in part.rows(number, number + 1):
            first, last = max(skipped, low), min(end - number * row, high)
            if first < last:
                yield int(begin) + first - low, int(begin) + last - low
        start = end


def _rows(
    evaluator: Evaluator, tensor: int, part: Part, first: int, last: int, out: ByteArray
) -> None:
    size = evaluator.plan.tensors[tensor].dtype.itemsize
    for low, high, starts in part.rows(first, last):
        if high - low == part.row_elements:
            evaluator.fill_runs(tensor, starts, high - low, out)
            continue
        made = np.empty((last - first) * (high - low) * size, np.uint8)
        evaluator.fill_runs(tensor, starts, high - low, made)
        placed = out.reshape(last - first, -1)[:, low * size : high * size]
        placed[:] = made.reshape(last - first, -1)


def _within_row(
    evaluator: Evaluator, tensor: int, part: Part, start: int, stop: int, out: ByteArray
) -> None:
    size, at = evaluator.plan.tensors[tensor].dtype.itemsize, 0
    for first, last in each_run(part, start, stop):
        stretch = (last - first) * size
        evaluator.fill(tensor, first, last, out[at : at + stretch])
        at += stretch
