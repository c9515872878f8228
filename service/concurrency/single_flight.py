"""Single flight: concurrent requests for the same result share one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
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

    @contextmanager
    def waiting(
        self, key: K, start: Callable[[], Coroutine[Any, Any, V]]
    ) -> Iterator[asyncio.Task[V]]:
        """Wait for the work for `key` for the duration of the block, starting it if need be.

        The block gets the task of the work, which others may share: it must not cancel it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(start()))
            flight.task.add_done_callback(lambda _: self._remove(key, flight))
        flight.waiters += 1
        try:
            yield flight.task
        finally:
            flight.waiters -= 1
            self._give_up(key, flight)

    async def join(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the result of the work for `key`, starting it if it is not in progress."""
        with self.waiting(key, start) as task:
            return await asyncio.shield(task)

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
