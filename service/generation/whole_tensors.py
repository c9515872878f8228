"""Whole tensors for bodies, computed by worker processes before a thread gets a job with them.

A generating thread never waits for a large QR. The whole tensors of a job are prepared first,
while other bodies use the threads, and are held as long as the body may need them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from seedpoint.models.generation.whole_tensors import Memory, Needed, Raw
from seedpoint.service.concurrency.single_flight import Flights
from seedpoint.service.errors import BuildMemory, BuildTimeout, Busy, WholeLost, WorkerLost
from seedpoint.service.generation.whole_tensor_task import IDLE, Maker
from seedpoint.service.metrics import Metrics
from seedpoint.service.storage.spool import Spool
from seedpoint.service.workers.pool import Pool

R = TypeVar("R")

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
        self._memory = Memory(MEMORY_BYTES, len)
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
    last waiter leaves. A body that has not begun is refused if `waiting` computations run or
    wait already.
    """

    def __init__(self, shelf: Shelf, maker: Maker, metrics: Metrics, *, waiting: int) -> None:
        self._shelf = shelf
        self._maker = maker
        self._spool = Spool(maker.spool, maker.spool_bytes)
        self._metrics = metrics
        self._waiting = waiting
        # The gates bound the calls, so none waits in the pool; workers start on first use.
        self._pool: Pool[Needed, Raw | None] = Pool(
            maker.task(),
            size=WORKERS,
            waiting=0,
            wait_seconds=WAIT_SECONDS,
            budget=IDLE,
        )
        self._is_started = False
        self._gates = {False: Gate(WORKERS - 1), True: Gate(1)}
        self._opening: Flights[Needed, Raw | None] = Flights()
        self._making: Flights[Needed, Raw] = Flights()
        metrics.wholes_waiting.set_function(lambda: len(self._making))

    def at_hand(self, needs: Iterable[Needed]) -> list[Raw] | None:
        """Return all of `needs` for the caller to hold; None if one is not in the cache."""
        found = [self._shelf.find(needed) for needed in needs]
        there = [raw for raw in found if raw is not None]
        return there if len(there) == len(found) else None

    async def admit(self, needs: Iterable[Needed]) -> Raw | None:
        """Return the first of `needs` that is not small, ready before the body begins.

        The result is None if all are small. Later, a failure can only break the body.

        Raises: Busy, if too many wait already, and the errors of `ready`.
        """
        for needed in needs:
            if not _is_small(needed):
                return await self.ready(needed, refusing=True, background=False)
        return None

    async def ready(
        self, needed: Needed, *, refusing: bool = False, background: bool = False
    ) -> Raw:
        """Return the whole tensor for the caller to hold; background callers queue last.

        Raises: Busy, if `refusing` and too many wait already; StoreFull; WholeLost.
        """
        if (found := self._shelf.find(needed)) is not None:
            return found
        opened = await self._opening.join(needed, partial(self._open, needed))
        if opened is not None:
            return opened
        under_way = len(self._making)
        if refusing and needed not in self._making and under_way >= self._waiting:
            raise Busy(
                f"{under_way} whole tensors are already being computed or waiting",
                headers=RETRY,
            )
        return await self._making.join(needed, partial(self._made, needed, background=background))

    def close(self) -> None:
        """End the workers, even at work; waiters get WholeLost or ShuttingDown."""
        self._pool.close()

    async def _open(self, needed: Needed) -> Raw | None:
        found = await asyncio.to_thread(self._spool.open, needed)
        return None if found is None else self._shelf.hold(needed, found)

    async def _made(self, needed: Needed, *, background: bool) -> Raw:
        async with self._gates[_is_large(needed)].passing(background=background):
            self._making.keep(needed)  # A client that retries finds it finished.
            failure = "it was removed from the spool immediately"
            for _ in range(ATTEMPTS):
                try:
                    made = await self._call(needed)
                except (BuildMemory, BuildTimeout):
                    failure = "its computation took too much memory or time"
                    break
                except WorkerLost:
                    failure = "the process that computed it died"
                    continue
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
        return await self._pool.call(needed, self._maker.budget(needed))


class Gate:
    """Semaphore of `free` slots; background callers get one only after all others."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._numbers = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def passing(self, *, background: bool) -> AsyncIterator[None]:
        """Hold a slot for the duration of the block."""
        if self._free:
            self._free -= 1
        else:
            mine = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (background, next(self._numbers), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # The slot was granted in the same moment: pass it on.
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


@dataclass(frozen=True, slots=True)
class Needing(Generic[R]):
    """Job that needs whole tensors."""

    job: Callable[[], R]
    needs: Sequence[Needed]

    def __call__(self) -> R:
        return self.job()


class Course:
    """Jobs of one body, each begun when its whole tensors are ready. Belongs to one event loop.

    A body prepares one whole tensor at a time, so that it never occupies both workers, and holds
    those of the latest job. It is never refused, because it is already in progress.
    """

    def __init__(self, wholesale: Wholesale | None, *, background: bool) -> None:
        self._wholesale = wholesale
        self._background = background
        self._ordering = asyncio.Lock()
        self._held: list[Raw] = []

    def begin(
        self, job: Callable[[], R], submit: Callable[[Callable[[], R]], Future[R]]
    ) -> Future[R] | asyncio.Task[R]:
        """Pass `job` to `submit` once its whole tensors are ready; return its future result."""
        large = [n for n in job.needs if not _is_small(n)] if isinstance(job, Needing) else []
        if self._wholesale is None or not large:
            return submit(job)
        if (held := self._wholesale.at_hand(large)) is not None:
            self._held = held
            return submit(partial(_holding, held, job))
        task = asyncio.create_task(self._prepared(self._wholesale, large, job, submit))
        task.add_done_callback(_seen)
        return task

    async def _prepared(
        self,
        wholesale: Wholesale,
        needs: Sequence[Needed],
        job: Callable[[], R],
        submit: Callable[[Callable[[], R]], Future[R]],
    ) -> R:
        async with self._ordering:
            held = [await wholesale.ready(n, background=self._background) for n in needs]
        self._held = held
        return await asyncio.wrap_future(submit(partial(_holding, held, job)))


def _holding(_: list[Raw], job: Callable[[], R]) -> R:
    return job()


def _seen(task: asyncio.Task[R]) -> None:
    """Retrieve the exception of `task`, so that asyncio does not log an unawaited failure."""
    if not task.cancelled():
        task.exception()


def _is_small(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations <= SMALL_OPERATIONS and cost.nbytes <= SMALL_BYTES


def _is_large(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations > LARGE_OPERATIONS or cost.nbytes > LARGE_BYTES
