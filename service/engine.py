"""The engine: bytes computed on threads, in order, a little ahead of who sends them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.buffers import Buffers
from service.placement import Placement

R = TypeVar("R")

FIRST_BYTES = 1 << 18

# Fills `out` (uint8) with bytes [start, stop) of something; thread-safe, without the GIL.
Read = Callable[[int, int, NDArray[np.uint8]], None]
# Cuts [start, stop) into consecutive ranges of about so many bytes.
Cuts = Callable[[int, int, int], Iterator[tuple[int, int]]]


def evenly(start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """[start, stop) cut at the multiples of `nbytes`."""
    while start < stop:
        last = min(stop, (start // nbytes + 1) * nbytes)
        yield start, last
        start = last


class Engine:
    """`threads` threads that fill chunks of up to `chunk_bytes`.

    A body has up to `look_ahead` chunks made before they are sent. All bodies together have
    `ahead_bytes`: the more there are, the smaller are the chunks. Work is queued chunk by
    chunk, so bodies share the threads evenly, and one that is given up costs no more than
    the chunks begun.
    """

    def __init__(
        self,
        *,
        threads: int,
        chunk_bytes: int,
        look_ahead: int,
        ahead_bytes: int,
        pinned: bool = False,
    ) -> None:
        self.threads = threads
        self.chunk_bytes = chunk_bytes
        self._look_ahead = look_ahead
        self._ahead_bytes = ahead_bytes
        self._bodies = 0
        placement = Placement(pinned=pinned)
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix="engine", initializer=placement
        )
        self._buffers = Buffers(keep_bytes=ahead_bytes + 2 * threads * chunk_bytes)

    async def body(
        self, read: Read, start: int, stop: int, cuts: Cuts = evenly
    ) -> AsyncGenerator[memoryview, None]:
        """Bytes [start, stop) in chunks, the first ones small, so that they are out early.

        Closing the generator cancels every chunk that is not begun.
        """
        chunks = self._chunks(cuts, start, stop)
        jobs = (partial(self._fill, read, first, last) for first, last in chunks)
        self._bodies += 1
        try:
            async with aclosing(self.ordered(jobs, ahead=self._look_ahead)) as results:
                async for chunk in results:
                    yield chunk
        finally:
            self._bodies -= 1

    async def ordered(
        self, jobs: Iterable[Callable[[], R]], *, ahead: int
    ) -> AsyncGenerator[R, None]:
        """The results of `jobs` in their order, at most `ahead` of them under way at once.

        New jobs are begun several at a time, when half of those under way are taken: waking
        a thread, or the event loop, costs as much as generating 100 KB.
        """
        waiting = iter(jobs)
        under_way: deque[Future[R]] = deque()
        try:
            while True:
                if len(under_way) <= ahead // 2:
                    for job in islice(waiting, ahead - len(under_way)):
                        under_way.append(self._executor.submit(job))
                if not under_way:
                    return
                yield await _result(under_way.popleft())  # By no name: the chunk is to go.
        finally:
            for future in under_way:
                future.cancel()

    async def run(self, job: Callable[[], R]) -> R:
        """The result of one job."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)

    def close(self) -> None:
        """Drops what is queued and waits for what is begun."""
        self._executor.shutdown(cancel_futures=True)

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


async def _result(future: Future[R]) -> R:
    """What a job gives. The event loop turns at least once, so no body keeps it to itself."""
    if future.done():
        await asyncio.sleep(0)
        return future.result()
    return await asyncio.wrap_future(future)
