"""Engine that generates bytes on threads, in order, slightly ahead of their sender."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np

from seedpoint.service.generation.buffer_pool import Buffers
from seedpoint.service.generation.byte_source import ByteSource, Priority, Span
from seedpoint.service.generation.dispatcher import Dispatcher, Job
from seedpoint.service.generation.priority_threads import PriorityThreads
from seedpoint.service.generation.thread_placement import Placement
from seedpoint.service.generation.whole_tensors import WholeTensors

R = TypeVar("R")

FIRST_BYTES = 1 << 18  # Size of a stream's first chunk, and least size of the later ones.
EARLY_BYTES = 1 << 22  # A response starts only once the whole tensors of its first 4 MiB are ready.
LITTLE_BYTES = 1 << 16  # Longest span that the event loop generates itself.
TINY_BYTES = 1 << 12  # Larger chunks come from the pool, whose least buffer is 64 KiB.
KEPT_SECONDS = 10.0  # Free buffers are kept for this time after the last stream.


class Engine:
    """Engine of `threads` threads that fill chunks of up to `chunk_bytes`.

    A stream has up to `look_ahead` chunks generated before they are sent. All streams together
    share `ahead_bytes`: with more streams, chunks get smaller, and once they are smallest, fewer
    are generated ahead. Work is queued chunk by chunk, so streams share the threads evenly, and
    an abandoned stream costs only the chunks already begun. `whole_tensors` provides those that
    threads do not compute themselves.
    """

    def __init__(
        self,
        *,
        threads: int,
        chunk_bytes: int,
        look_ahead: int,
        ahead_bytes: int,
        pinned: bool = False,
        whole_tensors: WholeTensors | None = None,
    ) -> None:
        self.threads = threads
        self.chunk_bytes = chunk_bytes
        self._look_ahead = look_ahead
        self._ahead_bytes = ahead_bytes
        self._streams = 0
        self.whole_tensors = whole_tensors
        placement = Placement(pinned=pinned)
        self._threads = PriorityThreads(threads, name="engine", initializer=placement)
        self._buffers = Buffers(keep_bytes=ahead_bytes + 2 * threads * chunk_bytes)
        self._idle_since = 0.0  # The event loop's time when the last stream ended.
        self._is_clearing = False

    async def stream(
        self, source: ByteSource, span: Span | None = None, priority: Priority = "first"
    ) -> AsyncGenerator[memoryview, None]:
        """Yield a span of `source`, by default all of it, in chunks; the first ones are small.

        Whole tensors are ready before the chunks that need them are read; with the priority
        "first", those of the first EARLY_BYTES before anything else. Closing the generator
        cancels every chunk that has not begun. A short span of a light source is generated
        directly, which takes less time than the way to a thread and back.

        Raises: Busy, if the priority is "first".
        """
        start, stop = (0, source.size_bytes) if span is None else span
        is_little = source.is_light and stop - start <= LITTLE_BYTES
        if is_little and not source.whole_tensors(start, stop):
            yield self._read_little(source, start, stop)
            return
        dispatcher = Dispatcher(self._threads, self.whole_tensors, priority)
        if priority == "first":
            early = min(stop, start + EARLY_BYTES)
            await dispatcher.prepare(source.whole_tensors(start, early))
        self._streams += 1
        jobs = (
            Job(partial(self._read, source, *chunk), source.whole_tensors(*chunk))
            for chunk in self._chunks(source, start, stop)
        )
        try:
            async with aclosing(self._results(jobs, self._ahead, dispatcher)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._end()

    def ordered(
        self, jobs: Iterable[Job[R]], *, ahead: int, priority: Priority = "continuing"
    ) -> AsyncGenerator[R, None]:
        """Yield the results of `jobs` in order, with at most `ahead` of them in progress."""
        dispatcher = Dispatcher(self._threads, self.whole_tensors, priority)
        return self._results(jobs, lambda: ahead, dispatcher)

    async def run(self, work: Callable[[], R], *, priority: Priority = "continuing") -> R:
        """Run `work`, which needs no whole tensors, and return its result."""
        return await asyncio.wrap_future(self._threads.submit(work, priority))

    def close(self) -> None:
        """End the workers of whole tensors, drop queued jobs and wait for those begun."""
        if self.whole_tensors is not None:
            self.whole_tensors.close()
        self._threads.close()

    async def _results(
        self, jobs: Iterable[Job[R]], ahead: Callable[[], int], dispatcher: Dispatcher
    ) -> AsyncGenerator[R, None]:
        """Yield the results of `jobs` in order, with at most `ahead()` of them in progress.

        New jobs begin several at a time, once half of those in progress are consumed, because
        waking a thread or the event loop costs as much as generating 100 KB.
        """
        waiting = iter(jobs)
        under_way: deque[Future[R] | asyncio.Task[R]] = deque()
        try:
            while True:
                most = ahead()
                if len(under_way) <= most // 2:
                    under_way += map(dispatcher.dispatch, islice(waiting, most - len(under_way)))
                if not under_way:
                    return
                yield await _result(under_way.popleft())  # A name would keep the chunk alive.
        finally:
            for future in under_way:
                future.cancel()

    def _end(self) -> None:
        """Count a stream as ended; after the last one, free the buffers in KEPT_SECONDS.

        A running timer is not cancelled, which would cost each small stream more than the look at
        the time when the timer ends.
        """
        self._streams -= 1
        if not self._streams:
            self._idle_since = asyncio.get_running_loop().time()
            if not self._is_clearing:
                self._is_clearing = True
                self._clear()

    def _clear(self) -> None:
        """Free the buffers if nothing was sent for KEPT_SECONDS, else look again later."""
        loop = asyncio.get_running_loop()
        left = self._idle_since + KEPT_SECONDS - loop.time()
        if not self._streams and left > 0:
            loop.call_later(left, self._clear)
            return
        self._is_clearing = False  # the end of the next last stream sets it again
        if not self._streams:
            self._buffers.clear()

    def _ahead(self) -> int:
        """Return the number of chunks to generate ahead per stream: at least 1, for its socket."""
        share = self._ahead_bytes // (FIRST_BYTES * max(self._streams, 1))
        return max(1, min(self._look_ahead, share))

    def _chunks(self, source: ByteSource, start: int, stop: int) -> Iterator[Span]:
        nbytes = FIRST_BYTES // 2
        while start < stop:
            share = self._ahead_bytes // (self._look_ahead * self._streams)
            nbytes = min(2 * nbytes, max(share, FIRST_BYTES), self.chunk_bytes)
            first, last = next(source.cuts(start, stop, nbytes))
            yield first, last
            start = last

    def _read_little(self, source: ByteSource, start: int, stop: int) -> memoryview:
        """Read a chunk, outside the pool if it would leave most of a buffer empty."""
        if stop - start > TINY_BYTES:
            return self._read(source, start, stop)
        chunk = np.empty(stop - start, np.uint8)
        source.read(start, stop, chunk)
        return chunk.data

    def _read(self, source: ByteSource, start: int, stop: int) -> memoryview:
        chunk = self._buffers.take(stop - start)
        source.read(start, stop, chunk)
        return chunk.data


async def _result(future: Future[R] | asyncio.Task[R]) -> R:
    """Return a job's result, yielding to the event loop at least once for fairness."""
    if future.done():
        await asyncio.sleep(0)
        return future.result()
    return await (future if isinstance(future, asyncio.Task) else asyncio.wrap_future(future))
