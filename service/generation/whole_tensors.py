"""Whole tensors, computed by worker processes before a thread gets a job that needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakValueDictionary

from seedpoint.models.generation.whole_tensors import MemoryCache, Needed, Raw
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.errors import Busy, WholeLost
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.whole_tensor_task import IDLE, Maker
from seedpoint.service.metrics import Metrics
from seedpoint.service.storage.spool import Spool
from seedpoint.service.workers.errors import CallFailed, NoWorker, WorkerDied
from seedpoint.service.workers.pool import Pool

MEMORY_BYTES = 256 << 20  # Cache of small whole tensors, and of those without room on disk.
SMALL_OPERATIONS = 2 * 10**8  # Takes milliseconds: computed by the thread that needs it.
SMALL_BYTES = 64 << 20  # Limit of memory for a small computation.
LARGE_OPERATIONS = 4 * 10**10  # Takes more than about a second: never delays a smaller one.
LARGE_BYTES = 512 << 20  # A computation with more memory is large too.
WORKERS = 2  # One for large computations, one for all others.
WAIT_SECONDS = 600.0  # Limit of the wait for a worker.
ATTEMPTS = 2  # Covers a killed worker, or a file removed right after it was written.
RETRY = {"Retry-After": "5"}  # Seconds.


class Shelf:
    """Cache of whole tensors for all evaluators: held ones and small ones. Thread-safe."""

    def __init__(self) -> None:
        self._memory = MemoryCache(MEMORY_BYTES, len)
        self._held: WeakValueDictionary[Needed, Raw] = WeakValueDictionary()

    def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
        found = self._held.get(key)
        return self._memory.get(key, make) if found is None else found

    def find(self, key: Needed) -> Raw | None:
        """Return the tensor if it is held or in memory, else None."""
        found = self._held.get(key)
        return self._memory.find(key) if found is None else found

    def hold(self, key: Needed, found: Raw) -> Raw:
        """Return `found` and make it available while a caller holds the result."""
        return self._held.setdefault(key, found)

    def keep(self, key: Needed, made: Raw) -> Raw:
        """Return `made` and keep it in memory until the limit evicts it."""
        return self._memory.get(key, lambda: made)


class Wholesale:
    """Provider of whole tensors, from the spool or from workers. Belongs to one event loop.

    All waiters share one computation. A computation that has not begun is cancelled when its
    last waiter leaves. A response that has not begun is refused if `waiting` computations run or
    wait already.
    """

    def __init__(self, shelf: Shelf, maker: Maker, metrics: Metrics, *, waiting: int) -> None:
        self._shelf = shelf
        self._maker = maker
        self._spool = Spool(maker.spool, maker.spool_bytes)
        self._metrics = metrics
        self._waiting = waiting
        # Admission bounds the calls, so none waits in the pool; workers start on first use.
        self._pool: Pool[Needed, Raw | None] = Pool(maker.task(), size=WORKERS, limits=IDLE)
        self._is_started = False
        self._large, self._others = Admission(1), Admission(WORKERS - 1)
        self._opening: SingleFlight[Needed, Raw | None] = SingleFlight()
        self._making: SingleFlight[Needed, Raw] = SingleFlight()
        metrics.wholes_waiting.set_function(lambda: len(self._making))

    def at_hand(self, needs: Iterable[Needed]) -> list[Raw] | None:
        """Return all of `needs` for the caller to hold; None if one is not in the cache."""
        found = [self._shelf.find(needed) for needed in needs]
        there = [raw for raw in found if raw is not None]
        return there if len(there) == len(found) else None

    async def ready(self, needed: Needed, priority: Priority) -> Raw:
        """Return the whole tensor for the caller to hold; background callers queue last.

        Raises: Busy, if the priority is "first" and too many wait already; StoreFull; WholeLost.
        """
        if (found := self._shelf.find(needed)) is not None:
            return found
        opened = await self._opening.join(needed, partial(self._open, needed))
        if opened is not None:
            return opened
        under_way = len(self._making)
        if priority == "first" and needed not in self._making and under_way >= self._waiting:
            raise Busy(
                f"{under_way} whole tensors are already being computed or waiting",
                headers=RETRY,
            )
        make = partial(self._made, needed, background=priority == "background")
        return await self._making.join(needed, make)

    def close(self) -> None:
        """End the workers, even at work; waiters get WholeLost or ShuttingDown."""
        self._pool.close()

    async def _open(self, needed: Needed) -> Raw | None:
        found = await asyncio.to_thread(self._spool.open, needed)
        return None if found is None else self._shelf.hold(needed, found)

    async def _made(self, needed: Needed, *, background: bool) -> Raw:
        admission = self._large if _is_large(needed) else self._others
        async with admission.slot(rank=int(background)):
            self._making.keep(needed)  # A client that retries finds it finished.
            failure = "it was removed from the spool immediately"
            for _ in range(ATTEMPTS):
                try:
                    made = await self._call(needed)
                except WorkerDied:
                    failure = "the process that computed it died"
                    continue
                except CallFailed:
                    failure = "its computation took too much memory or time"
                    break
                if made is not None:
                    return self._shelf.keep(needed, made)
                if (found := await self._open(needed)) is not None:
                    return found
        size = " x ".join(map(str, needed.shape))
        raise WholeLost(f"{needed.kind} tensor of {size}: {failure}")

    async def _call(self, needed: Needed) -> Raw | None:
        if not self._is_started:
            self._is_started = True
            self._pool.start()
        self._metrics.wholes.labels(needed.kind).inc()
        limits = self._maker.limits(needed)
        try:
            return await self._pool.call(needed, limits, wait_seconds=WAIT_SECONDS)
        except NoWorker:
            raise Busy(f"no worker was free within {WAIT_SECONDS:g} seconds") from None


def is_small(needed: Needed) -> bool:
    """Return whether the thread that needs the tensor computes it, in milliseconds."""
    cost = needed.cost()
    return cost.operations <= SMALL_OPERATIONS and cost.nbytes <= SMALL_BYTES


def _is_large(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations > LARGE_OPERATIONS or cost.nbytes > LARGE_BYTES
