"""The engine: bytes computed on threads, in order, a little ahead of who sends them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.buffers import Buffers

R = TypeVar("R")

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
    """`threads` threads that fill chunks of about `chunk_bytes`, of `longest_bytes` at most.

    Work is queued chunk by chunk, so many bodies share the threads evenly, and one that
    is given up costs no more than the chunks already begun.
    """

    def __init__(
        self, *, threads: int, chunk_bytes: int, look_ahead: int, longest_bytes: int = 0
    ) -> None:
        self.threads = threads
        self.chunk_bytes = chunk_bytes
        self._look_ahead = look_ahead
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        longest_bytes = max(longest_bytes, chunk_bytes)
        self._buffers = Buffers(longest_bytes, keep=4 * threads * (look_ahead + 1))

    def body(
        self, read: Read, start: int, stop: int, cuts: Cuts = evenly
    ) -> AsyncGenerator[memoryview, None]:
        """Bytes [start, stop) in chunks, made at most `look_ahead` at a time.

        Closing the generator cancels every chunk that is not begun.
        """
        chunks = cuts(start, stop, self.chunk_bytes)
        jobs = (partial(self._fill, read, first, last) for first, last in chunks)
        return self.ordered(jobs, ahead=self._look_ahead)

    async def ordered(
        self, jobs: Iterable[Callable[[], R]], *, ahead: int
    ) -> AsyncGenerator[R, None]:
        """The results of `jobs` in their order, at most `ahead` of them under way at once."""
        loop = asyncio.get_running_loop()
        under_way: deque[asyncio.Future[R]] = deque()
        try:
            for job in jobs:
                under_way.append(loop.run_in_executor(self._executor, job))
                if len(under_way) >= ahead:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for future in under_way:
                future.cancel()

    async def run(self, job: Callable[[], R]) -> R:
        """The result of one job."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)

    def close(self) -> None:
        """Drops what is queued and waits for what is begun."""
        self._executor.shutdown(cancel_futures=True)

    def _fill(self, read: Read, start: int, stop: int) -> memoryview:
        chunk = self._buffers.take(stop - start)
        read(start, stop, chunk)
        return chunk.data
