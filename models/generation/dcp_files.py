"""Bytes of the files of a torch.distributed.checkpoint directory, by range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seedpoint.models.files.dcp.directory import DcpFile
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.tensor_part import TensorPart
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
        _elements(evaluator, file).read(first, last, out[place : place + last - first])


def cuts(
    evaluator: Evaluator, file: DcpFile, start: int, stop: int, nbytes: int
) -> Iterator[tuple[int, int]]:
    """Cut bytes [start, stop) of `file` into ranges of at most `nbytes`, or fewer if costly.

    Only `start` and `stop` may lie inside an element.
    """
    data = len(file.head)
    ends = [last for _, last in _elements(evaluator, file).cuts(*_data(file, start, stop), nbytes)]
    for last in [*(data + end for end in ends[:-1]), stop]:
        if start < last:
            yield start, last
        start = last


def whole_tensors(evaluator: Evaluator, file: DcpFile, start: int, stop: int) -> list[WholeTensor]:
    """Return the whole tensors that bytes [start, stop) of `file` depend on."""
    return _elements(evaluator, file).whole_tensors(*_data(file, start, stop))


def _data(file: DcpFile, start: int, stop: int) -> tuple[int, int]:
    """Return the bytes of the elements that are within bytes [start, stop) of `file`."""
    first, last = (min(max(at - len(file.head), 0), file.data_bytes) for at in (start, stop))
    return first, last


def _elements(evaluator: Evaluator, file: DcpFile) -> TensorPart:
    return TensorPart(evaluator, file.tensor, file.window, "")
