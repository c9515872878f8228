"""Bytes of the files of a torch.distributed.checkpoint directory, by range."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from seedpoint.models.files.dcp.directory import DcpFile
from seedpoint.models.files.slices import Slice
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.whole_tensors import Needed

CALL_ELEMENTS = 4096
"""Longest gap between two runs that is generated with them: a call takes about as long."""

COVER_ELEMENTS = 1 << 18
"""Elements generated at a time to pick short runs from."""

PIECE_ELEMENTS = 1 << 21
"""Elements generated for one piece of a file: a few milliseconds of work."""


def read(evaluator: Evaluator, file: DcpFile, start: int, stop: int, out: ByteArray) -> None:
    """Write bytes [start, stop) of `file` to `out`, which may have any alignment."""
    data = len(file.head)
    for base, literal in ((0, file.head), (data + file.data_bytes, file.tail)):
        first, last = max(start, base), min(stop, base + len(literal))
        if first < last:
            part = literal[first - base : last - base]
            out[first - start : last - start] = np.frombuffer(part, np.uint8)
    first, last = _data(file, start, stop)
    if first < last:
        place = first + data - start
        _elements(evaluator, file, first, last, out[place : place + last - first])


def cuts(file: DcpFile, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """Cut bytes [start, stop) of `file` into ranges of about `nbytes`, or fewer if costly.

    Runs of the window are whole in a range if they fit into it; elements always are, except at
    `start` and `stop`.
    """
    data, size, run = len(file.head), file.dtype.itemsize, max(file.window.run_elements, 1)
    elements = max(1, min(nbytes // size, PIECE_ELEMENTS // _cost(file.window)))
    step = size * (elements // run * run or elements)
    while start < stop:
        last = min(stop, data + (max(start - data, 0) // step + 1) * step)
        yield start, last
        start = last


def whole_tensors(evaluator: Evaluator, file: DcpFile, start: int, stop: int) -> list[Needed]:
    """Return the whole tensors that bytes [start, stop) of `file` depend on."""
    first, last = _data(file, start, stop)
    if first >= last:
        return []
    size = file.dtype.itemsize
    low, _ = next(file.window.runs(first // size))
    _, high = next(file.window.runs((last - 1) // size, -(-last // size)))
    return evaluator.needs(file.tensor, low, high)


def fill_window(
    evaluator: Evaluator, tensor: int, window: Slice, start: int, stop: int, out: ByteArray
) -> None:
    """Write elements [start, stop) of a window of tensor number `tensor` to the aligned `out`.

    The window's runs are generated one by one. Those with short gaps between them are picked from
    ranges that hold several.
    """
    size, at = evaluator.plan.tensors[tensor].dtype.itemsize, 0
    runs = window.runs(start, stop)
    while group := list(islice(runs, _runs_at_once(window))):
        low, high = group[0][0], group[-1][1]
        if len(group) == 1:
            cover = out[at : at + (high - low) * size]
            evaluator.fill(tensor, low, high, cover)
            at += len(cover)
            continue
        cover = np.empty((high - low) * size, np.uint8)
        evaluator.fill(tensor, low, high, cover)
        for first, last in group:
            picked = cover[(first - low) * size : (last - low) * size]
            out[at : at + len(picked)] = picked
            at += len(picked)


def _data(file: DcpFile, start: int, stop: int) -> tuple[int, int]:
    """Return the bytes of the elements that are within bytes [start, stop) of `file`."""
    first, last = (min(max(at - len(file.head), 0), file.data_bytes) for at in (start, stop))
    return first, last


def _elements(evaluator: Evaluator, file: DcpFile, first: int, last: int, out: ByteArray) -> None:
    """Write bytes [first, last) of the elements, which may begin and end inside one."""
    size = file.dtype.itemsize
    low, high = first // size, -(-last // size)
    if last - first == (high - low) * size and out.ctypes.data % size == 0:
        fill_window(evaluator, file.tensor, file.window, low, high, out)
        return
    whole = np.empty((high - low) * size, np.uint8)
    fill_window(evaluator, file.tensor, file.window, low, high, whole)
    out[:] = whole[first - low * size :][: last - first]


def _stride(window: Slice) -> int:
    """Return the elements of the tensor from the start of a run to that of the next."""
    return window.axes[-1][1] if window.axes else max(window.run_elements, 1)


def _runs_at_once(window: Slice) -> int:
    gap = _stride(window) - window.run_elements
    return max(1, COVER_ELEMENTS // _stride(window)) if gap < CALL_ELEMENTS else 1


def _cost(window: Slice) -> int:
    """Return the elements that are generated for one of the window, or take as long."""
    gap = _stride(window) - window.run_elements
    return 1 + min(gap, CALL_ELEMENTS) // max(window.run_elements, 1)
