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


class Engine:
    """`threads` threads that fill chunks of `chunk_bytes`.

    Work is queued chunk by chunk, so many bodies share the threads evenly, and one that
    is given up costs no more than the chunks already begun.
    """

    def __init__(self, *, threads: int, chunk_bytes: int, look_ahead: int) -> None:
        self.threads = threads
        self.chunk_bytes = chunk_bytes
        self._look_ahead = look_ahead
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        self._buffers = Buffers(chunk_bytes, keep=4 * threads * (look_ahead + 1))

    def body(self, read: Read, start: int, stop: int) -> AsyncGenerator[memoryview, None]:
        """Bytes [start, stop) in chunks, made at most `look_ahead` at a time.

        Closing the generator cancels every chunk that is not begun. Chunks are cut at
        multiples of their size, so that all but the first begin at whole elements.
        """
        chunks = _chunks(start, stop, self.chunk_bytes)
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


def _chunks(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """[start, stop) cut at the multiples of `size`."""
    while start < stop:
        last = min(stop, (start // size + 1) * size)
        yield start, last
        start = last
