"""Writer of a checkpoint as a torch.distributed.checkpoint directory, without a server."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from seedpoint.models.files.dcp.directory import METADATA, DcpDirectory, DcpFile
from seedpoint.models.files.dcp.metadata import metadata
from seedpoint.models.generation import dcp_files
from seedpoint.models.generation.evaluator import ByteArray, Evaluator, Observer
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.service.local.build import JOB_BLOCKS, naming
from seedpoint.service.storage.atomic_files import write_all, write_atomically

PIECE_BYTES = 4 << 20  # Generated at a time by one thread.

Wrote = Callable[[int], None]


class DirectoryWriter:
    """Writer of a directory: its chunks on `threads` threads, and `.metadata` when all are there.

    A directory without `.metadata` is no checkpoint, so chunks need not appear whole.
    """

    def __init__(self, evaluator: Evaluator, directory: DcpDirectory, *, threads: int) -> None:
        self.evaluator = evaluator
        self.directory = directory
        self._threads = threads
        self._scratch = threading.local()

    def write(self, folder: Path, *, wrote: Wrote) -> None:
        """Write every file into `folder`, which exists.

        `wrote` is called with the number of bytes of each finished file. Raises: OSError that
        names a file.
        """
        last = folder / METADATA
        with naming(last):
            last.unlink(missing_ok=True)
        names = (name for name in self.directory.file_names() if name != METADATA)
        self._run((partial(self._write, folder, name) for name in names), wrote)
        os.sync()  # Once, because a sync of each of thousands of files takes minutes.
        content = metadata(self.directory, self.evaluator.plan.id)
        with naming(last):
            write_atomically(last, [content])

    def observe(self, statistics: CheckpointStatistics, *, wrote: Wrote) -> None:
        """Generate every tensor once more, in whole blocks, for its statistics."""
        self._run(self._observations(statistics), wrote)

    def _run(self, jobs: Iterable[Callable[[], int]], wrote: Wrote) -> None:
        with ThreadPoolExecutor(self._threads) as executor:
            under_way: deque[Future[int]] = deque()
            try:
                for job in jobs:
                    under_way.append(executor.submit(job))
                    if len(under_way) > 2 * self._threads:
                        wrote(under_way.popleft().result())
                while under_way:
                    wrote(under_way.popleft().result())
            finally:
                for future in under_way:
                    future.cancel()

    def _write(self, folder: Path, name: str) -> int:
        file, path = self.directory.file(name), folder / name
        assert file is not None
        with naming(path), path.open("wb", buffering=0) as stream:
            for piece in self._pieces(file):
                write_all(stream.fileno(), piece)
        return file.size_bytes

    def _pieces(self, file: DcpFile) -> Iterator[memoryview]:
        for start, stop in dcp_files.cuts(self.evaluator, file, 0, file.size_bytes, PIECE_BYTES):
            out = self._buffer(stop - start)
            dcp_files.read(self.evaluator, file, start, stop, out)
            yield out.data

    def _observations(self, statistics: CheckpointStatistics) -> Iterator[Callable[[], int]]:
        step = JOB_BLOCKS * self.evaluator.block_elements
        for index, tensor in enumerate(self.evaluator.plan.tensors):
            if (observer := statistics.observers.get(tensor.name)) is None:
                continue
            for start in range(0, tensor.numel, step):
                stop = min(start + step, tensor.numel)
                yield partial(self._observe, index, start, stop, observer)

    def _observe(self, tensor: int, start: int, stop: int, observer: Observer) -> int:
        out = self._buffer((stop - start) * self.evaluator.plan.tensors[tensor].dtype.itemsize)
        self.evaluator.fill(tensor, start, stop, out, observer)
        return len(out)

    def _buffer(self, size: int) -> ByteArray:
        """Return `size` bytes of this thread's scratch memory."""
        buffer: ByteArray | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._scratch.buffer = np.empty(size, np.uint8)
        return buffer[:size]
