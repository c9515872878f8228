"""Bytes of the files of a torch.distributed.checkpoint directory, by range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seedpoint.models.files.dcp.directory import DcpFile
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.slice_elements import (
    piece_elements,
    read_slice,
    whole_tensors_of_slice,
)
from seedpoint.models.generation.whole_tensors import WholeTensor


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
        piece = out[place : place + last - first]
        read_slice(evaluator, file.tensor, file.window, first, last, piece)


def cuts(
    evaluator: Evaluator, file: DcpFile, start: int, stop: int, nbytes: int
) -> Iterator[tuple[int, int]]:
    """Cut bytes [start, stop) of `file` into ranges of about `nbytes`, or fewer if costly.

    Runs of the window are whole in a range if they fit into it; elements always are, except at
    `start` and `stop`.
    """
    data, size, run = len(file.head), file.dtype.itemsize, max(file.window.run_elements, 1)
    elements = min(max(nbytes // size, 1), piece_elements(evaluator, file.tensor, file.window))
    step = size * (elements // run * run or elements)
    while start < stop:
        last = min(stop, data + (max(start - data, 0) // step + 1) * step)
        yield start, last
        start = last


def whole_tensors(evaluator: Evaluator, file: DcpFile, start: int, stop: int) -> list[WholeTensor]:
    """Return the whole tensors that bytes [start, stop) of `file` depend on."""
    first, last = _data(file, start, stop)
    size = file.dtype.itemsize
    low, high = first // size, -(-last // size)
    return whole_tensors_of_slice(evaluator, file.tensor, file.window, low, high)


def _data(file: DcpFile, start: int, stop: int) -> tuple[int, int]:
    """Return the bytes of the elements that are within bytes [start, stop) of `file`."""
    first, last = (min(max(at - len(file.head), 0), file.data_bytes) for at in (start, stop))
    return first, last
