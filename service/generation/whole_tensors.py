"""Whole tensors, computed by worker processes before a thread gets a job that needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakValueDictionary

from seedpoint.models.generation.whole_tensors import MemoryCache, Needed, Raw, entry_bytes
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.errors import Busy, WholeLost
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.whole_tensor_task import IDLE, WholeTensorWorkers
from seedpoint.service.metrics import Metrics
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


class WholeTensorCache:
    """Cache of whole tensors for all evaluators: held ones and small ones. Thread-safe."""

    def __init__(self) -> None:
        self._memory = MemoryCache(MEMORY_BYTES, entry_bytes)
        self._held: WeakValueDictionary[Needed, Raw] = WeakValueDictionary()

    def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
        held = self._held.get(key)
        return self._memory.get(key, make) if held is None else held

    def find(self, key: Needed) -> Raw | None:
        """Return the tensor if it is held or in memory, else None."""
        held = self._held.get(key)
        return self._memory.find(key) if held is None else held

    def hold(self, key: Needed, tensor: Raw) -> Raw:
        """Return `tensor` and make it available while a caller holds the result."""
        return self._held.setdefault(key, tensor)

    def keep(self, key: Needed, tensor: Raw) -> Raw:
        """Return `tensor` and keep it in memory until the limit evicts it."""
        return self._memory.get(key, lambda: tensor)


class WholeTensors:
    """Provider of whole tensors, from the store or from workers. Belongs to one event loop.

    All waiters share one computation. A computation that has not begun is cancelled when its
    last waiter leaves. A response that has not begun is refused if `waiting` computations run or
    wait already.
    """

    def __init__(
        self,
        cache: WholeTensorCache,
        workers: WholeTensorWorkers,
        metrics: Metrics,
        *,
        waiting: int,
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._files = workers.files()
        self._metrics = metrics
        self._waiting = waiting
        # Admission bounds the calls, so none waits in the pool; workers start on first use.
        self.pool: Pool[Needed, Raw | None] = Pool(workers.task(), size=WORKERS, limits=IDLE)
        self._is_started = False
        self._large, self._others = Admission(1), Admission(WORKERS - 1)
        self._opening: SingleFlight[Needed, Raw | None] = SingleFlight()
        self._computing: SingleFlight[Needed, Raw] = SingleFlight()
        metrics.wholes_waiting.set_function(lambda: len(self._computing))

    def at_hand(self, needs: Iterable[Needed]) -> list[Raw] | None:
        """Return all of `needs` for the caller to hold; None if one is not in the cache."""
        tensors: list[Raw] = []
        for needed in needs:
            if (tensor := self._cache.find(needed)) is None:
                return None
            tensors.append(tensor)
        return tensors

    async def ready(self, needed: Needed, priority: Priority) -> Raw:
        """Return the whole tensor for the caller to hold; background callers queue last.

        Raises: Busy, if the priority is "first" and too many wait already; StoreFull; WholeLost.
        """
        if (cached := self._cache.find(needed)) is not None:
            return cached
        stored = await self._opening.join(needed, partial(self._open, needed))
        if stored is not None:
            return stored
        under_way = len(self._computing)
        if priority == "first" and needed not in self._computing and under_way >= self._waiting:
            raise Busy(
                f"{under_way} whole tensors are already being computed or waiting",
                headers=RETRY,
            )
        compute = partial(self._compute, needed, background=priority == "background")
        return await self._computing.join(needed, compute)

    def close(self) -> None:
        """End the workers, even at work; waiters get WholeLost or ShuttingDown."""
        self.pool.close()

    async def _open(self, needed: Needed) -> Raw | None:
        stored = await asyncio.to_thread(self._files.open, needed)
        return None if stored is None else self._cache.hold(needed, stored)

    async def _compute(self, needed: Needed, *, background: bool) -> Raw:
        admission = self._large if _is_large(needed) else self._others
        async with admission.slot(rank=int(background)):
            self._computing.keep(needed)  # A client that retries finds it finished.
            failure = "it was removed from the store immediately"
            for _ in range(ATTEMPTS):
                try:
                    unstored = await self._call(needed)
                except WorkerDied:
                    failure = "the process that computed it died"
                    continue
                except CallFailed:
                    failure = "its computation took too much memory or time"
                    break
                if unstored is not None:
                    return self._cache.keep(needed, unstored)
                if (stored := await self._open(needed)) is not None:
                    return stored
        size = " x ".join(map(str, needed.shape))
        raise WholeLost(f"{needed.kind} tensor of {size}: {failure}")

    async def _call(self, needed: Needed) -> Raw | None:
        if not self._is_started:
            self._is_started = True
            self.pool.start()
        self._metrics.wholes.labels(needed.kind).inc()
        limits = self._workers.limits(needed)
        try:
            return await self.pool.call(needed, limits, wait_seconds=WAIT_SECONDS)
        except NoWorker:
            raise Busy(f"no worker was free within {WAIT_SECONDS:g} seconds") from None


def is_small(needed: Needed) -> bool:
    """Return whether the thread that needs the tensor computes it, in milliseconds."""
    cost = needed.cost()
    return cost.operations <= SMALL_OPERATIONS and cost.nbytes <= SMALL_BYTES


def _is_large(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations > LARGE_OPERATIONS or cost.nbytes > LARGE_BYTES
