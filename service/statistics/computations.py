"""Long computations: one for all who ask, bounded in number, in turn, and with their progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.statistics.progress import Document, Progress

V = TypeVar("V")

SMALL_BYTES = 1 << 30  # Limit of a small computation, in bytes generated: about a second.
SMALL_TENSORS = 1_000  # Limit of a small computation: the plan takes little memory.
SMALL_AT_ONCE = 256  # Small computations that run or wait for their turn.


class Computations(Generic[V]):
    """Computations by key that run in turn (`turns`). Belongs to one event loop.

    At most `at_once` large ones run or wait for their turn, so that their plans fit in memory;
    small ones have a bound of their own (`small_at_once`) and never wait for large ones. One that
    nobody asks for during `lease_seconds` is cancelled.
    """

    def __init__(
        self,
        turns: Admission,
        *,
        at_once: int,
        lease_seconds: float,
        small_at_once: int = SMALL_AT_ONCE,
    ) -> None:
        self._turns = turns
        self._large, self._small = Admission(at_once), Admission(small_at_once)
        self._flight: SingleFlight[str, V] = SingleFlight(lease_seconds=lease_seconds)
        self._progress: dict[str, Progress] = {}

    def __len__(self) -> int:
        """Return the number of computations that run or wait for their turn."""
        return len(self._progress)

    async def get(
        self,
        key: str,
        compute: Callable[[Progress], Awaitable[V]],
        *,
        bytes_total: int,
        tensors: int,
        wait_seconds: float,
    ) -> V | None:
        """Return the result of `compute`, or None after `wait_seconds`.

        The computation then goes on, unless the bound kept it from starting. If the call is
        cancelled and nobody else waits, it is cancelled too. `bytes_total` and the checkpoint's
        number of `tensors` are the same for all calls with one key.
        """
        is_small = bytes_total <= SMALL_BYTES and tensors <= SMALL_TENSORS
        bound = self._small if is_small else self._large
        run = partial(self._run, key, bound, bytes_total, compute)
        with self._flight.waiting(key, run) as task:
            await asyncio.wait((task,), timeout=wait_seconds)
            if task.done():
                return task.result()
            if key in self._progress:
                self._flight.keep(key)
            return None

    def progress(self, key: str, bytes_total: int) -> Document:
        """Return the progress of a computation, or of one that has not begun."""
        return self._progress.get(key, Progress(bytes_total)).document

    def close(self) -> None:
        """Cancel all computations."""
        self._flight.cancel()

    async def _run(
        self,
        key: str,
        bound: Admission,
        bytes_total: int,
        compute: Callable[[Progress], Awaitable[V]],
    ) -> V:
        async with bound.slot():
            with self._turns.place(bytes_total) as turn:
                progress = self._progress[key] = Progress(bytes_total, turn=turn)
                try:
                    await turn.granted()
                    progress.started = time.monotonic()
                    return await compute(progress)
                finally:
                    if self._progress.get(key) is progress:
                        del self._progress[key]
