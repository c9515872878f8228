"""Wholes for bodies: made by processes of their own before a thread is given what needs them.

A thread that generates never waits for a large QR. What a job needs is got ready first,
while other bodies have the threads, and is held as long as the body may need it.
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

MEMORY_BYTES = 256 << 20  # Of small wholes, and of those that found no room on disk.
SMALL_OPERATIONS = 2 * 10**8  # Milliseconds: made by the thread that needs it.
SMALL_BYTES = 64 << 20
LARGE_OPERATIONS = 4 * 10**10  # More than about a second: never before what takes less.
LARGE_BYTES = 512 << 20
WORKERS = 2  # One for what is large, one for the rest.
WAIT_SECONDS = 600.0
ATTEMPTS = 2  # A worker that was killed, or a file that was removed at once, is made up for.
RETRY = {"Retry-After": "5"}


class Shelf:
    """Cache of whole tensors for all evaluators: held ones and small ones. Thread-safe."""

    def __init__(self) -> None:
        self._memory = Memory(MEMORY_BYTES, len)
        self._held: WeakValueDictionary[Needed, Raw] = WeakValueDictionary()

    def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
        found = self._held.get(key)
        return self._memory.get(key, make) if found is None else found

    def find(self, key: Needed) -> Raw | None:
        """What is at hand; None when it is not."""
        found = self._held.get(key)
        return self._memory.find(key) if found is None else found

    def hold(self, key: Needed, found: Raw) -> Raw:
        """`found`, which is at hand for as long as somebody holds it."""
        return self._held.setdefault(key, found)

    def keep(self, key: Needed, made: Raw) -> Raw:
        """`made`, which is at hand until there is more than may be kept."""
        return self._memory.get(key, lambda: made)


class Wholesale:
    """Gets wholes ready: from the spool, or made by workers, each once for all who wait.

    What is not begun is given up when the last who waits for it leaves; up to `waiting`
    may be under way for bodies that are not begun. Belongs to one event loop.
    """

    def __init__(self, shelf: Shelf, maker: Maker, metrics: Metrics, *, waiting: int) -> None:
        self._shelf = shelf
        self._maker = maker
        self._spool = Spool(maker.spool, maker.spool_bytes)
        self._metrics = metrics
        self._waiting = waiting
        # As many calls are under way as are let in; workers start when one is needed.
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
        """All of `needs`, to be held; None when one is not at hand."""
        found = [self._shelf.find(needed) for needed in needs]
        there = [raw for raw in found if raw is not None]
        return there if len(there) == len(found) else None

    async def admit(self, needs: Iterable[Needed]) -> Raw | None:
        """The first of `needs` that is not small, ready before a body is begun.

        Raises Busy, when too many wait already, and what `ready` raises: later, a body that
        cannot go on can only be broken.
        """
        for needed in needs:
            if not _is_small(needed):
                return await self.ready(needed, refusing=True, background=False)
        return None

    async def ready(
        self, needed: Needed, *, refusing: bool = False, background: bool = False
    ) -> Raw:
        """The whole, to be held while it is needed; in the background others go first.

        Raises Busy, when `refusing` and too many wait already; StoreFull and WholeLost.
        """
        if (found := self._shelf.find(needed)) is not None:
            return found
        opened = await self._opening.join(needed, partial(self._open, needed))
        if opened is not None:
            return opened
        under_way = len(self._making)
        if refusing and needed not in self._making and under_way >= self._waiting:
            raise Busy(
                f"{under_way} tensors are being computed as a whole or wait for it already",
                headers=RETRY,
            )
        return await self._making.join(needed, partial(self._made, needed, background=background))

    def close(self) -> None:
        """Ends the workers, whatever they are at; who waits gets WholeLost or ShuttingDown."""
        self._pool.close()

    async def _open(self, needed: Needed) -> Raw | None:
        found = await asyncio.to_thread(self._spool.open, needed)
        return None if found is None else self._shelf.hold(needed, found)

    async def _made(self, needed: Needed, *, background: bool) -> Raw:
        async with self._gates[_is_large(needed)].passing(background=background):
            self._making.keep(needed)  # A client that comes back finds it made.
            failure = "it was removed from the spool at once"
            for _ in range(ATTEMPTS):
                try:
                    made = await self._call(needed)
                except (BuildMemory, BuildTimeout):
                    failure = "it took more memory, or time, than it should"
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
    """`free` may be inside at once; in the background, only after all who are not."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._numbers = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def passing(self, *, background: bool) -> AsyncIterator[None]:
        """Waits to be let in; the block is inside."""
        if self._free:
            self._free -= 1
        else:
            mine = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (background, next(self._numbers), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # It had come just then.
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
    """A job that needs wholes."""

    job: Callable[[], R]
    needs: Sequence[Needed]

    def __call__(self) -> R:
        return self.job()


class Course:
    """The jobs of one body, each begun when what it needs is ready. Belongs to one event loop.

    One whole at a time is got ready, so that no body has both workers; the latest are held.
    None is refused, since the body is under way.
    """

    def __init__(self, wholesale: Wholesale | None, *, background: bool) -> None:
        self._wholesale = wholesale
        self._background = background
        self._ordering = asyncio.Lock()
        self._held: list[Raw] = []

    def begin(
        self, job: Callable[[], R], submit: Callable[[Callable[[], R]], Future[R]]
    ) -> Future[R] | asyncio.Task[R]:
        """The result of `job`, which is given to `submit` when it needs not wait for anything."""
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
    """A failure that nobody came to is not reported again."""
    if not task.cancelled():
        task.exception()


def _is_small(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations <= SMALL_OPERATIONS and cost.nbytes <= SMALL_BYTES


def _is_large(needed: Needed) -> bool:
    cost = needed.cost()
    return cost.operations > LARGE_OPERATIONS or cost.nbytes > LARGE_BYTES
