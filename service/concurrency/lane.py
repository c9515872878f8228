"""Admission of work whose cost is unknown until it is done."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from seedpoint.service.errors import Busy

SHORT = 8  # Queue limit while recent work took long.
LATE_SECONDS = 60.0  # Time for which slow work counts as recent.


class Lane:
    """Bounded queue for `at_once` turns. Belongs to one event loop.

    Up to `waiting` callers wait for a turn, for `wait_seconds` at most. If recent work took
    long, the queue is limited to SHORT callers, and all others are refused at once.
    """

    def __init__(self, *, at_once: int, waiting: int, wait_seconds: float) -> None:
        self._free = at_once
        self._most = waiting
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._late: float | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a turn for the duration of the block.

        Raises: Busy, if the queue is full or no turn was free in time.
        """
        await self._begin()
        try:
            yield
        finally:
            self._end()

    def took_long(self) -> None:
        """Note that some work took long, and refuse all but the SHORT oldest in the queue."""
        self._late = time.monotonic()
        while len(self._waiting) > SHORT:
            newest = self._waiting.pop()
            if not newest.done():
                newest.set_exception(Busy("slow specs are already being planned"))

    async def _begin(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= self._room():
            raise Busy(f"{len(self._waiting)} specs of this kind are already waiting")
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await given
        except BaseException as error:
            with suppress(ValueError):
                self._waiting.remove(given)
            if given.done() and not given.cancelled() and given.exception() is None:
                self._end()  # The turn came at the last moment: pass it on.
            if isinstance(error, TimeoutError):
                raise Busy(f"no worker was free within {self._wait_seconds:g} seconds") from None
            raise

    def _end(self) -> None:
        while self._waiting:
            oldest = self._waiting.popleft()
            if not oldest.done():
                oldest.set_result(None)
                return
        self._free += 1

    def _room(self) -> int:
        late = self._late is not None and time.monotonic() - self._late < LATE_SECONDS
        return min(SHORT, self._most) if late else self._most
