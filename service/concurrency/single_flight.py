"""Single flight: one piece of work for everyone who asks for the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(eq=False)
class _Flight(Generic[V]):
    task: asyncio.Task[V]
    waiters: int = 0
    kept: bool = False
    lease: asyncio.TimerHandle | None = None


class Full(Exception):
    """As much as may be in progress was, for as long as one could wait."""


class Flights(Generic[K, V]):
    """Work in progress by key, `most` at once. Belongs to one event loop.

    Work is cancelled when the last who waited for it has gone, unless it was asked to go
    on (`keep`): for `lease_seconds`, or to its end.
    """

    def __init__(self, most: int | None = None, *, lease_seconds: float | None = None) -> None:
        self._flights: dict[K, _Flight[V]] = {}
        self._most = most
        self._lease_seconds = lease_seconds
        self._room: asyncio.Event = asyncio.Event()  # Set and replaced when some work ends.

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    async def join(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of the work for `key`, which is started when none is in progress.

        It waits while there is no room for more.
        """
        while key not in self._flights and len(self._flights) == self._most:
            await self._room.wait()
        flight = self._board(key, start)
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            self._release(flight)

    async def within(
        self, seconds: float, key: K, start: Callable[[], Coroutine[Any, Any, V]]
    ) -> V | None:
        """As `join`; None when it takes longer than `seconds`, and then the work is kept.

        When the call is cancelled before, and nobody else waits, it does not. Raises Full
        when it has not been started by then for want of room.
        """
        waiting = asyncio.create_task(self.join(key, start))
        try:
            await asyncio.wait((waiting,), timeout=seconds)
            if waiting.done():
                return waiting.result()
            if key not in self._flights:
                raise Full
            self.keep(key)
            return None
        finally:
            waiting.cancel()

    def keep(self, key: K) -> None:
        """Lets the work for `key`, if it is in progress, go on without waiters, from now on."""
        if (flight := self._flights.get(key)) is None:
            return
        flight.kept = True
        if flight.lease is not None:
            flight.lease.cancel()
        if self._lease_seconds is not None:
            loop = asyncio.get_running_loop()
            flight.lease = loop.call_later(self._lease_seconds, self._expire, flight)

    def cancel(self) -> None:
        """Cancels everything in progress."""
        for flight in self._flights.values():
            flight.task.cancel()

    def _board(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> _Flight[V]:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(start()))
            flight.task.add_done_callback(lambda task: self._land(key, task))
        return flight

    def _land(self, key: K, task: asyncio.Task[V]) -> None:
        if (flight := self._flights.get(key)) and flight.task is task:
            del self._flights[key]
            if flight.lease is not None:
                flight.lease.cancel()
        self._make_room()
        if not task.cancelled():
            task.exception()  # Seen: a failure nobody waits for is not reported again.

    def _expire(self, flight: _Flight[V]) -> None:
        flight.kept = False
        self._release(flight)

    def _release(self, flight: _Flight[V]) -> None:
        if flight.waiters or flight.kept or flight.task.done():
            return
        # Out of the table at once: whoever asks from here on starts anew.
        self._flights = {k: v for k, v in self._flights.items() if v is not flight}
        flight.task.cancel()
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        self._room = asyncio.Event()
