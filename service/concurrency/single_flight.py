"""Single flight: concurrent requests for the same result share one computation."""

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


class SingleFlight(Generic[K, V]):
    """Work in progress by key, one item per key. Belongs to one event loop.

    Work is cancelled when its last waiter leaves, unless `keep` was called for it: then it goes
    on for `lease_seconds`, or to its end if there is no lease.
    """

    def __init__(self, *, lease_seconds: float | None = None) -> None:
        self._flights: dict[K, _Flight[V]] = {}
        self._lease_seconds = lease_seconds

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    async def join(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the result of the work for `key`, starting it if it is not in progress."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(start()))
            flight.task.add_done_callback(lambda _: self._remove(key, flight))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            self._give_up(key, flight)

    def keep(self, key: K) -> None:
        """Let the work for `key`, if it is in progress, go on without waiters from now on."""
        if (flight := self._flights.get(key)) is None:
            return
        flight.kept = True
        if flight.lease is not None:
            flight.lease.cancel()
        if self._lease_seconds is not None:
            loop = asyncio.get_running_loop()
            flight.lease = loop.call_later(self._lease_seconds, self._expire, key, flight)

    def cancel(self) -> None:
        """Cancel everything in progress."""
        for flight in self._flights.values():
            flight.task.cancel()

    def _expire(self, key: K, flight: _Flight[V]) -> None:
        flight.kept = False
        self._give_up(key, flight)

    def _give_up(self, key: K, flight: _Flight[V]) -> None:
        """Cancel the work if nobody waits for it, so that a later caller starts it anew."""
        if not (flight.waiters or flight.kept or flight.task.done()):
            self._remove(key, flight)
            flight.task.cancel()

    def _remove(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.lease is not None:
            flight.lease.cancel()
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # Retrieved, so asyncio does not log a failure without waiters.


class Full(Exception):
    """The limit of work in progress was reached for the whole time that the caller could wait."""


class Flights(Generic[K, V]):
    """Work in progress by key, at most `most` at once. Belongs to one event loop.

    Work is cancelled when its last waiter leaves, unless `keep` was called for it: then it goes
    on for `lease_seconds`, or to its end if there is no lease.
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
        """Return the result of the work for `key`, starting it if it is not in progress.

        Waits while the limit of work in progress is reached.
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
        """Return the result as `join` does; after `seconds` keep the work and return None.

        If the call is cancelled earlier and nobody else waits, the work is cancelled too.

        Raises: Full, if the limit kept the work from starting within `seconds`.
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
        """Let the work for `key`, if it is in progress, go on without waiters from now on."""
        if (flight := self._flights.get(key)) is None:
            return
        flight.kept = True
        if flight.lease is not None:
            flight.lease.cancel()
        if self._lease_seconds is not None:
            loop = asyncio.get_running_loop()
            flight.lease = loop.call_later(self._lease_seconds, self._expire, flight)

    def cancel(self) -> None:
        """Cancel everything in progress."""
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
            task.exception()  # Retrieved, so asyncio does not log a failure without waiters.

    def _expire(self, flight: _Flight[V]) -> None:
        flight.kept = False
        self._release(flight)

    def _release(self, flight: _Flight[V]) -> None:
        if flight.waiters or flight.kept or flight.task.done():
            return
        # Remove it from the table at once, so that a later caller starts it anew.
        self._flights = {k: v for k, v in self._flights.items() if v is not flight}
        flight.task.cancel()
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        self._room = asyncio.Event()
