"""Task of worker processes that compute whole tensors: orthogonal matrices and sparse cuts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seedpoint.models.generation.whole_tensors import Raw, WholeTensor
from seedpoint.models.stream import orthogonal, sparse
from seedpoint.models.stream.parallel import Each, helped, serial
from seedpoint.service.errors import StoreFull, StoreUnwritable
from seedpoint.service.storage.faults import FULL
from seedpoint.service.storage.store import Store
from seedpoint.service.storage.whole_tensor_files import WholeTensorFiles
from seedpoint.service.workers.worker import CallLimits, Task

NICENESS = 15  # Behind the threads that generate for bodies.
MAX_SECONDS = 3600.0  # The largest tensors take minutes on idle cores.
OVERHEAD_BYTES = 512 << 20  # Memory of threads, and of all that a cost does not count.
IDLE = CallLimits(MAX_SECONDS, 2 << 30)  # A worker that keeps half of this memory is replaced.
MAX_IN_MEMORY_BYTES = 128 << 20
"""Limit of a whole tensor that is passed on and kept in memory if the disk has no room."""


@dataclass(frozen=True, slots=True)
class WholeTensorWorkers:
    """Configuration of the workers: the store that they fill, threads per worker and niceness."""

    store: Store
    max_bytes: int
    threads: int
    niceness: int = NICENESS

    def task(self) -> Task[WholeTensor, Raw | None]:
        """Return the task that the workers of a pool run."""
        worker = _Worker(self)
        return Task(worker.run, worker.warm_up, (StoreFull, StoreUnwritable))

    def files(self) -> WholeTensorFiles:
        """Return the files that the workers write."""
        return WholeTensorFiles(self.store, self.max_bytes)

    def limits(self, whole: WholeTensor) -> CallLimits:
        """Return the limits of time and memory for computing `whole`."""
        nbytes = whole.cost(self.threads).nbytes
        return CallLimits(MAX_SECONDS, nbytes + nbytes // 4 + OVERHEAD_BYTES)


class _Worker:
    """State of one worker: its configuration, files and threads."""

    def __init__(self, workers: WholeTensorWorkers) -> None:
        self._workers = workers
        self._files = workers.files()
        self._each: Each = serial

    def warm_up(self) -> None:
        """Lower the priority of this process, start its threads and load the kernels."""
        os.setpriority(os.PRIO_PROCESS, 0, self._workers.niceness)
        threads = self._workers.threads
        if threads > 1:
            self._each = helped(ThreadPoolExecutor(threads - 1), threads)
        orthogonal.warm_up()
        sparse.warm_up()

    def run(self, whole: WholeTensor) -> Raw | None:
        """Compute `whole` into the store; return it only if the store cannot keep it.

        Raises: StoreFull, StoreUnwritable.
        """
        try:
            self._files.add(whole, lambda: whole.make(self._each))
        except OSError as error:
            if whole.nbytes > MAX_IN_MEMORY_BYTES:
                raise _refusal(whole, error) from None
            return whole.make(self._each)
        return None


def _refusal(whole: WholeTensor, error: OSError) -> StoreFull | StoreUnwritable:
    what = f"a whole tensor of {whole.nbytes} bytes: {error.strerror}"
    if error.errno in FULL:
        return StoreFull(f"no space on disk for {what}")
    return StoreUnwritable(f"the disk cannot store {what}")
