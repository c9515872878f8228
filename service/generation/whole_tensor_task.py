"""What a worker process does that makes wholes: orthogonal matrices and sparse cuts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seedpoint.models.generation.whole_tensors import Needed, Raw
from seedpoint.models.stream import orthogonal
from seedpoint.models.stream.parallel import Each, helped, serial
from seedpoint.service.errors import StoreFull, StoreUnwritable
from seedpoint.service.storage.faults import FULL
from seedpoint.service.storage.spool import Spool
from seedpoint.service.workers.worker import Budget, Task

NICENESS = 15  # A tenth of the weight of the threads that generate for bodies.
MAX_SECONDS = 3600.0  # What is allowed takes minutes on idle cores.
OVERHEAD_BYTES = 512 << 20  # Of threads, and of what is not counted.
IDLE = Budget(MAX_SECONDS, 2 << 30)  # A worker that keeps half of this is replaced.
MAX_IN_MEMORY_BYTES = 128 << 20
"""What has no room on disk is handed over and kept in memory, up to this size."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What workers are made for: the spool they fill, on how many threads each, and how nice."""

    spool: Path
    spool_bytes: int
    threads: int
    niceness: int = NICENESS

    def task(self) -> Task[Needed, Raw | None]:
        """What the workers of a pool run."""
        desk = _Desk(self)
        return Task(desk.run, desk.warm_up, (StoreFull, StoreUnwritable))

    def budget(self, needed: Needed) -> Budget:
        """What making `needed` may take."""
        nbytes = needed.cost(self.threads).nbytes
        return Budget(MAX_SECONDS, nbytes + nbytes // 4 + OVERHEAD_BYTES)


class _Desk:
    """A worker's own: what it was made for, and its threads."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._spool = Spool(maker.spool, maker.spool_bytes)
        self._each: Each = serial

    def warm_up(self) -> None:
        """Puts this process behind others, and loads the kernels."""
        os.setpriority(os.PRIO_PROCESS, 0, self._maker.niceness)
        threads = self._maker.threads
        if threads > 1:
            self._each = helped(ThreadPoolExecutor(threads - 1), threads)
        orthogonal.warm_up()

    def run(self, needed: Needed) -> Raw | None:
        """Has it in the spool, or gives it where it cannot be kept there.

        Raises StoreFull and StoreUnwritable.
        """
        try:
            self._spool.add(needed, lambda: needed.make(self._each))
        except OSError as error:
            if needed.nbytes > MAX_IN_MEMORY_BYTES:
                raise _refusal(needed, error) from None
            return needed.make(self._each)
        return None


def _refusal(needed: Needed, error: OSError) -> StoreFull | StoreUnwritable:
    what = f"{needed.nbytes} bytes that it must compute as a whole: {error.strerror}"
    if error.errno in FULL:
        return StoreFull(f"the service has no room on disk for {what}")
    return StoreUnwritable(f"the service cannot keep on disk {what}")
