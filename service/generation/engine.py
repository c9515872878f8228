"""The engine: bytes computed on threads, in order, a little ahead of who sends them."""

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
from seedpoint.service.generation.priority_threads import Lanes
from seedpoint.service.generation.thread_placement import Placement
from seedpoint.service.generation.whole_tensors import Course, Needing, Wholesale

R = TypeVar("R")

FIRST_BYTES = 1 << 18
EARLY_BYTES = 1 << 22  # What needs a whole among so many is not begun before that is ready.
LITTLE_BYTES = 1 << 16
KEPT_SECONDS = 10.0  # That free buffers are kept after the last body.

# Fills `out` (uint8) with bytes [start, stop) of something; thread-safe, without the GIL.
Read = Callable[[int, int, NDArray[np.uint8]], None]
# Cuts [start, stop) into consecutive ranges of about so many bytes.
Cuts = Callable[[int, int, int], Iterator[tuple[int, int]]]
# What is computed as a whole for [start, stop).
Needs = Callable[[int, int], Sequence[Needed]]


def evenly(start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """[start, stop) cut at the multiples of `nbytes`."""
    while start < stop:
        last = min(stop, (start // nbytes + 1) * nbytes)
        yield start, last
        start = last


def nothing(start: int, stop: int) -> Sequence[Needed]:
    """The needs of what is computed range by range."""
    return ()


class Engine:
    """`threads` threads that fill chunks of up to `chunk_bytes`.

    A body has up to `look_ahead` chunks made before they are sent. All bodies together have
    `ahead_bytes`: the more there are, the smaller are the chunks; when these are as small as
    they get, fewer are made ahead. Work is queued chunk by chunk, so bodies share the threads
    evenly, and one that is given up costs no more than the chunks begun. What is done in the
    background gives way to everything else.
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
        self._lanes = Lanes(threads, name="engine", initializer=placement)
        self._buffers = Buffers(keep_bytes=ahead_bytes + 2 * threads * chunk_bytes)
        self._clearing: asyncio.TimerHandle | None = None

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
        """Bytes [start, stop) in chunks, the first ones small, so that they are out early.

        What `needs` says of a range is ready before the range is read. In the background
        it waits for whatever is not, and so do later parts of an answer that is `begun`; the
        first may be refused (Busy). Closing the generator cancels every chunk that is not
        begun. What is `light` is made at once where it is little: that takes less than the
        way to a thread and back.
        """
        if light and stop - start <= LITTLE_BYTES and not needs(start, stop):
            yield self._fill(read, start, stop)
            return
        held = None
        if self._wholesale is not None and not background and not begun:
            held = await self._wholesale.admit(needs(start, min(stop, start + EARLY_BYTES)))
        chunks = self._chunks(cuts, start, stop)
        jobs = (
            Needing(partial(self._fill, read, first, last), needs(first, last))
            for first, last in chunks
        )
        self._begin()
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
        """The results of `jobs` in their order, at most `ahead` of them under way at once.

        New jobs are begun several at a time, when half of those under way are taken: waking
        a thread, or the event loop, costs as much as generating 100 KB.
        """
        waiting = iter(jobs)
        course = Course(self._wholesale, background=background)
        submit = partial(self._lanes.submit, background=background)
        under_way: deque[Future[R] | asyncio.Task[R]] = deque()
        try:
            while True:
                most = ahead if isinstance(ahead, int) else ahead()
                if len(under_way) <= most // 2:
                    for job in islice(waiting, most - len(under_way)):
                        under_way.append(course.begin(job, submit))
                if not under_way:
                    return
                yield await _result(under_way.popleft())  # By no name: the chunk is to go.
        finally:
            for future in under_way:
                future.cancel()

    async def run(self, job: Callable[[], R], *, background: bool = False) -> R:
        """The result of one job."""
        course = Course(self._wholesale, background=background)
        begun = course.begin(job, partial(self._lanes.submit, background=background))
        return await (begun if isinstance(begun, asyncio.Task) else asyncio.wrap_future(begun))

    def close(self) -> None:
        """Drops what is queued and waits for what is begun; ends what is computed as a whole."""
        if self._wholesale is not None:
            self._wholesale.close()
        self._lanes.close()

    def _begin(self) -> None:
        self._bodies += 1
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None

    def _end(self) -> None:
        """After the last body its buffers are kept for a while, for the next one."""
        self._bodies -= 1
        if not self._bodies:
            loop = asyncio.get_running_loop()
            self._clearing = loop.call_later(KEPT_SECONDS, self._buffers.clear)

    def _ahead(self) -> int:
        """How many chunks a body may have made ahead: at least the one for its socket."""
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

    def _fill(self, read: Read, start: int, stop: int) -> memoryview:
        chunk = self._buffers.take(stop - start)
        read(start, stop, chunk)
        return chunk.data


async def _result(future: Future[R] | asyncio.Task[R]) -> R:
    """What a job gives. The event loop turns at least once, so no body keeps it to itself."""
    if future.done():
        await asyncio.sleep(0)
        return future.result()
    return await (future if isinstance(future, asyncio.Task) else asyncio.wrap_future(future))
