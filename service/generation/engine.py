"""Engine that generates bytes on threads, in order, slightly ahead of their sender."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seedpoint.models.generation.whole_tensors import Needed
from seedpoint.service.generation.buffer_pool import Buffers
from seedpoint.service.generation.priority_threads import PriorityThreads
from seedpoint.service.generation.thread_placement import Placement
from seedpoint.service.generation.whole_tensors import Course, Needing, Wholesale

R = TypeVar("R")

FIRST_BYTES = 1 << 18  # Size of a body's first chunk, and least size of the later ones.
EARLY_BYTES = 1 << 22  # A response starts only once the whole tensors of its first 4 MiB are ready.
LITTLE_BYTES = 1 << 16  # Limit of a body that the event loop generates itself.
TINY_BYTES = 1 << 12  # Larger chunks come from the pool, whose least buffer is 64 KiB.
KEPT_SECONDS = 10.0  # Free buffers are kept for this time after the last body.

# `read(start, stop, out)` fills `out` (uint8) with bytes [start, stop); thread-safe, no GIL held.
Read = Callable[[int, int, NDArray[np.uint8]], None]
# `cuts(start, stop, nbytes)` cuts [start, stop) into consecutive ranges of about `nbytes`.
Cuts = Callable[[int, int, int], Iterator[tuple[int, int]]]
# `needs(start, stop)` lists the whole tensors that bytes [start, stop) depend on.
Needs = Callable[[int, int], Sequence[Needed]]


def evenly(start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at the multiples of `nbytes`."""
    while start < stop:
        last = min(stop, (start // nbytes + 1) * nbytes)
        yield start, last
        start = last


def nothing(start: int, stop: int) -> Sequence[Needed]:
    """Return no needs, for bytes that depend on no whole tensor."""
    return ()


class Engine:
    """Engine of `threads` threads that fill chunks of up to `chunk_bytes`.

    A body has up to `look_ahead` chunks generated before they are sent. All bodies together
    share `ahead_bytes`: with more bodies, chunks get smaller, and once they are smallest, fewer
    are generated ahead. Work is queued chunk by chunk, so bodies share the threads evenly, and
    an abandoned body costs only the chunks already begun. Background work yields to all other
    work.
    """

    def __init__(
        self,
        *,
        threads: int,
        chunk_bytes: int,
        look_ahead: int,
        ahead_bytes: int,
        pinned: bool = False,
        wholesale: Wholesale | None = None,
    ) -> None:
        self.threads = threads
        self.chunk_bytes = chunk_bytes
        self._look_ahead = look_ahead
        self._ahead_bytes = ahead_bytes
        self._bodies = 0
        self._wholesale = wholesale
        placement = Placement(pinned=pinned)
        self._threads = PriorityThreads(threads, name="engine", initializer=placement)
        self._buffers = Buffers(keep_bytes=ahead_bytes + 2 * threads * chunk_bytes)
        self._idle_since = 0.0  # The event loop's time when the last body ended.
        self._is_clearing = False

    async def body(
        self,
        read: Read,
        start: int,
        stop: int,
        cuts: Cuts = evenly,
        *,
        needs: Needs = nothing,
        background: bool = False,
        begun: bool = False,
        light: bool = False,
    ) -> AsyncGenerator[memoryview, None]:
        """Yield bytes [start, stop) in chunks; the first chunks are small, to be sent early.

        The whole tensors that `needs` lists for a range are ready before the range is read. A
        body in the background, or a later part of a response (`begun`), waits for them; any
        other body may be refused instead. Closing the generator cancels every chunk that has
        not begun. A `light` body of up to LITTLE_BYTES is generated directly, which takes less
        time than the way to a thread and back.

        Raises: Busy.
        """
        if light and stop - start <= LITTLE_BYTES and not needs(start, stop):
            yield self._fill_little(read, start, stop)
            return
        held = None
        if self._wholesale is not None and not background and not begun:
            held = await self._wholesale.admit(needs(start, min(stop, start + EARLY_BYTES)))
        chunks = self._chunks(cuts, start, stop)
        jobs = (
            Needing(partial(self._fill, read, first, last), needs(first, last))
            for first, last in chunks
        )
        self._bodies += 1
        try:
            made = self.ordered(jobs, ahead=self._ahead, background=background)
            async with aclosing(made) as results:
                async for chunk in results:
                    yield chunk
        finally:
            del held
            self._end()

    async def ordered(
        self,
        jobs: Iterable[Callable[[], R]],
        *,
        ahead: int | Callable[[], int],
        background: bool = False,
    ) -> AsyncGenerator[R, None]:
        """Yield the results of `jobs` in order, with at most `ahead` of them in progress.

        New jobs begin several at a time, once half of those in progress are consumed, because
        waking a thread or the event loop costs as much as generating 100 KB.
        """
        waiting = iter(jobs)
        course = Course(self._wholesale, background=background)
        submit = partial(self._threads.submit, background=background)
        under_way: deque[Future[R] | asyncio.Task[R]] = deque()
        try:
            while True:
                most = ahead if isinstance(ahead, int) else ahead()
                if len(under_way) <= most // 2:
                    for job in islice(waiting, most - len(under_way)):
                        under_way.append(course.begin(job, submit))
                if not under_way:
                    return
                yield await _result(under_way.popleft())  # A name would keep the chunk alive.
        finally:
            for future in under_way:
                future.cancel()

    async def run(self, job: Callable[[], R], *, background: bool = False) -> R:
        """Run one job and return its result."""
        course = Course(self._wholesale, background=background)
        begun = course.begin(job, partial(self._threads.submit, background=background))
        return await (begun if isinstance(begun, asyncio.Task) else asyncio.wrap_future(begun))

    def close(self) -> None:
        """End the workers of whole tensors, drop queued jobs and wait for those begun."""
        if self._wholesale is not None:
            self._wholesale.close()
        self._threads.close()

    def _end(self) -> None:
        """Count a body as ended; after the last one, free the buffers in KEPT_SECONDS.

        A running timer is not cancelled, which would cost each small body more than the look at
        the time when the timer ends.
        """
        self._bodies -= 1
        if not self._bodies:
            self._idle_since = asyncio.get_running_loop().time()
            if not self._is_clearing:
                self._is_clearing = True
                self._clear()

    def _clear(self) -> None:
        """Free the buffers if no body was sent for KEPT_SECONDS, else look again later."""
        loop = asyncio.get_running_loop()
        left = self._idle_since + KEPT_SECONDS - loop.time()
        if not self._bodies and left > 0:
            loop.call_later(left, self._clear)
            return
        self._is_clearing = False  # the end of the next last body sets it again
        if not self._bodies:
            self._buffers.clear()

    def _ahead(self) -> int:
        """Return the number of chunks to generate ahead per body: at least 1, for its socket."""
        share = self._ahead_bytes // (FIRST_BYTES * max(self._bodies, 1))
        return max(1, min(self._look_ahead, share))

    def _chunks(self, cuts: Cuts, start: int, stop: int) -> Iterator[tuple[int, int]]:
        nbytes = FIRST_BYTES // 2
        while start < stop:
            share = self._ahead_bytes // (self._look_ahead * self._bodies)
            nbytes = min(2 * nbytes, max(share, FIRST_BYTES), self.chunk_bytes)
            first, last = next(cuts(start, stop, nbytes))
            yield first, last
            start = last

    def _fill_little(self, read: Read, start: int, stop: int) -> memoryview:
        """Fill a chunk, outside the pool if it would leave most of a buffer empty."""
        if stop - start > TINY_BYTES:
            return self._fill(read, start, stop)
        chunk = np.empty(stop - start, np.uint8)
        read(start, stop, chunk)
        return chunk.data

    def _fill(self, read: Read, start: int, stop: int) -> memoryview:
        chunk = self._buffers.take(stop - start)
        read(start, stop, chunk)
        return chunk.data


async def _result(future: Future[R] | asyncio.Task[R]) -> R:
    """Return a job's result, yielding to the event loop at least once for fairness."""
    if future.done():
        await asyncio.sleep(0)
        return future.result()
    return await (future if isinstance(future, asyncio.Task) else asyncio.wrap_future(future))
