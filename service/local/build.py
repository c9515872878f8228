"""Writer of checkpoints without a server: threads generate tensors straight into files."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seedpoint.models.files.layout import File
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.service.storage.atomic_files import replacing

JOB_BLOCKS = 16  # Blocks in one job of a thread: 4 MiB of float32.


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements [start, stop) of a tensor, written at byte `offset` of the file `descriptor`."""

    descriptor: int
    offset: int
    tensor: int
    start: int
    stop: int
    observed: bool


class Writer:
    """Writer of one checkpoint's files, which gathers statistics while values are in cache."""

    def __init__(self, evaluator: Evaluator, statistics: CheckpointStatistics | None) -> None:
        self.evaluator = evaluator
        self.statistics = statistics
        self._scratch = threading.local()

    def write(self, file: File, path: Path, *, threads: int, wrote: Callable[[int], None]) -> None:
        """Write `file` to `path` atomically: `path` gets the whole file or stays as it was.

        `wrote` is called with the number of bytes of each finished piece. Raises: OSError that
        names `path`.
        """
        with naming(path), replacing(path) as descriptor:
            os.truncate(descriptor, file.size_bytes)
            os.pwrite(descriptor, file.head, 0)
            wrote(len(file.head))
            with ThreadPoolExecutor(threads) as executor:
                under_way: deque[Future[int]] = deque()
                try:
                    for piece in self._pieces(file, descriptor):
                        under_way.append(executor.submit(self._piece, piece))
                        if len(under_way) > 2 * threads:
                            wrote(under_way.popleft().result())
                    while under_way:
                        wrote(under_way.popleft().result())
                finally:
                    for future in under_way:
                        future.cancel()

    def _pieces(self, file: File, descriptor: int) -> Iterator[Piece]:
        size = JOB_BLOCKS * self.evaluator.block_elements
        for entry in file.entries:
            tensor = self.evaluator.plan.tensors[entry.tensor]
            observed = entry.name == tensor.name and tensor.dtype.is_floating
            for start in range(0, tensor.numel, size):
                offset = entry.start_byte + tensor.dtype.nbytes(start)
                stop = min(start + size, tensor.numel)
                yield Piece(descriptor, offset, entry.tensor, start, stop, observed)

    def _piece(self, piece: Piece) -> int:
        tensor = self.evaluator.plan.tensors[piece.tensor]
        observer = None
        if self.statistics is not None and piece.observed:
            observer = self.statistics.accumulators[tensor.name]
        out = self._buffer(tensor.dtype.nbytes(piece.stop - piece.start))
        self.evaluator.fill(piece.tensor, piece.start, piece.stop, out, observer)
        written = 0
        while written < len(out):
            written += os.pwrite(piece.descriptor, out.data[written:], piece.offset + written)
        return written

    def _buffer(self, size: int) -> ByteArray:
        """Return `size` bytes of this thread's scratch memory."""
        buffer: ByteArray | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._scratch.buffer = np.empty(size, np.uint8)
        return buffer[:size]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make every OSError inside the block name `path` instead of the temporary file or no file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
