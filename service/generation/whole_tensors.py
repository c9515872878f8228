"""Whole tensors, computed by worker processes before a thread gets a job that needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakValueDictionary

from seedpoint.models.generation.whole_tensors import MemoryCache, Raw, WholeTensor, entry_bytes
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
        self._held: WeakValueDictionary[WholeTensor, Raw] = WeakValueDictionary()

    def get(self, key: WholeTensor, make: Callable[[], Raw]) -> Raw:
        held = self._held.get(key)
        return self._memory.get(key, make) if held is None else held

    def find(self, key: WholeTensor) -> Raw | None:
        """Return the tensor if it is held or in memory, else None."""
        held = self._held.get(key)
        return self._memory.find(key) if held is None else held

    def hold(self, key: WholeTensor, tensor: Raw) -> Raw:
        """Return `tensor` and make it available while a caller holds the result."""
        return self._held.setdefault(key, tensor)

    def keep(self, key: WholeTensor, tensor: Raw) -> Raw:
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
        self.pool: Pool[WholeTensor, Raw | None] = Pool(workers.task(), size=WORKERS, limits=IDLE)
        self._is_started = False
        self._large, self._others = Admission(1), Admission(WORKERS - 1)
        self._opening: SingleFlight[WholeTensor, Raw | None] = SingleFlight()
        self._computing: SingleFlight[WholeTensor, Raw] = SingleFlight()
        metrics.wholes_waiting.set_function(lambda: len(self._computing))

    def at_hand(self, wholes: Iterable[WholeTensor]) -> list[Raw] | None:
        """Return all of `wholes` for the caller to hold; None if one is not in the cache."""
        tensors: list[Raw] = []
        for whole in wholes:
            if (tensor := self._cache.find(whole)) is None:
                return None
            tensors.append(tensor)
        return tensors

    async def ready(self, whole: WholeTensor, priority: Priority) -> Raw:
        """Return the whole tensor for the caller to hold; background callers queue last.

        Raises: Busy, if the priority is "first" and too many wait already; StoreFull; WholeLost.
        """
        if (cached := self._cache.find(whole)) is not None:
            return cached
        stored = await self._opening.join(whole, partial(self._open, whole))
        if stored is not None:
            return stored
        under_way = len(self._computing)
        if priority == "first" and whole not in self._computing and under_way >= self._waiting:
            raise Busy(
                f"{under_way} whole tensors are already being computed or waiting",
                headers=RETRY,
            )
        compute = partial(self._compute, whole, background=priority == "background")
        return await self._computing.join(whole, compute)

    def close(self) -> None:
        """End the workers, even at work; waiters get WholeLost or ShuttingDown."""
        self.pool.close()

    async def _open(self, whole: WholeTensor) -> Raw | None:
        stored = await asyncio.to_thread(self._files.open, whole)
        return None if stored is None else self._cache.hold(whole, stored)

    async def _compute(self, whole: WholeTensor, *, background: bool) -> Raw:
        admission = self._large if _is_large(whole) else self._others
        async with admission.slot(rank=int(background)):
            self._computing.keep(whole)  # A client that retries finds it finished.
            failure = "it was removed from the store immediately"
            for _ in range(ATTEMPTS):
                try:
                    unstored = await self._call(whole)
                except WorkerDied:
                    failure = "the process that computed it died"
                    continue
                except CallFailed:
                    failure = "its computation took too much memory or time"
                    break
                if unstored is not None:
                    return self._cache.keep(whole, unstored)
                if (stored := await self._open(whole)) is not None:
                    return stored
        size = " x ".join(map(str, whole.shape))
        raise WholeLost(f"{whole.kind} tensor of {size}: {failure}")

    async def _call(self, whole: WholeTensor) -> Raw | None:
        if not self._is_started:
            self._is_started = True
            self.pool.start()
        self._metrics.wholes.labels(whole.kind).inc()
        limits = self._workers.limits(whole)
        try:
            return await self.pool.call(whole, limits, wait_seconds=WAIT_SECONDS)
        except NoWorker:
            raise Busy(f"no worker was free within {WAIT_SECONDS:g} seconds") from None


def is_small(whole: WholeTensor) -> bool:
    """Return whether the thread that needs the tensor computes it, in milliseconds."""
    cost = whole.cost()
    return cost.operations <= SMALL_OPERATIONS and cost.nbytes <= SMALL_BYTES


def _is_large(whole: WholeTensor) -> bool:
    cost = whole.cost()
    return cost.operations > LARGE_OPERATIONS or cost.nbytes > LARGE_BYTES
