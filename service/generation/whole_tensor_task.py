"""Task of worker processes that compute whole tensors: orthogonal matrices and sparse cuts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seedpoint.models.generation.whole_tensors import Needed, Raw
from seedpoint.models.stream import orthogonal, sparse
from seedpoint.models.stream.parallel import Each, helped, serial
from seedpoint.service.errors import StoreFull, StoreUnwritable
from seedpoint.service.storage.faults import FULL
from seedpoint.service.storage.spool import Spool
from seedpoint.service.workers.worker import CallLimits, Task

NICENESS = 15  # Behind the threads that generate for bodies.
MAX_SECONDS = 3600.0  # The largest tensors take minutes on idle cores.
OVERHEAD_BYTES = 512 << 20  # Memory of threads, and of all that a cost does not count.
IDLE = CallLimits(MAX_SECONDS, 2 << 30)  # A worker that keeps half of this memory is replaced.
MAX_IN_MEMORY_BYTES = 128 << 20
"""Limit of a whole tensor that is passed on and kept in memory if the disk has no room."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Configuration of the workers: their spool, threads per worker and niceness."""

    spool: Path
    spool_bytes: int
    threads: int
    niceness: int = NICENESS

    def task(self) -> Task[Needed, Raw | None]:
        """Return the task that the workers of a pool run."""
        desk = _Desk(self)
        return Task(desk.run, desk.warm_up, (StoreFull, StoreUnwritable))

    def limits(self, needed: Needed) -> CallLimits:
        """Return the limits of time and memory for computing `needed`."""
        nbytes = needed.cost(self.threads).nbytes
        return CallLimits(MAX_SECONDS, nbytes + nbytes // 4 + OVERHEAD_BYTES)


class _Desk:
    """State of one worker: its configuration, spool and threads."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._spool = Spool(maker.spool, maker.spool_bytes)
        self._each: Each = serial

    def warm_up(self) -> None:
        """Lower the priority of this process, start its threads and load the kernels."""
        os.setpriority(os.PRIO_PROCESS, 0, self._maker.niceness)
        threads = self._maker.threads
        if threads > 1:
            self._each = helped(ThreadPoolExecutor(threads - 1), threads)
        orthogonal.warm_up()
        sparse.warm_up()

    def run(self, needed: Needed) -> Raw | None:
        """Compute `needed` into the spool; return it only if the spool cannot keep it.

        Raises: StoreFull, StoreUnwritable.
        """
        try:
            self._spool.add(needed, lambda: needed.make(self._each))
        except OSError as error:
            if needed.nbytes > MAX_IN_MEMORY_BYTES:
                raise _refusal(needed, error) from None
            return needed.make(self._each)
        return None


def _refusal(needed: Needed, error: OSError) -> StoreFull | StoreUnwritable:
    what = f"a whole tensor of {needed.nbytes} bytes: {error.strerror}"
    if error.errno in FULL:
        return StoreFull(f"no space on disk for {what}")
    return StoreUnwritable(f"the disk cannot store {what}")
