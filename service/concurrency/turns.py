"""Turns for slow work: a few items run and the rest wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turn:
    """Place in the queue of work of `size_bytes`; the work may run while `is_on`."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._on = asyncio.Event()

    @property
    def is_on(self) -> bool:
        return self._on.is_set()

    async def come(self) -> None:
        """Wait for the turn; await it before each step, since a turn may be taken away again."""
        await self._on.wait()

    def set(self, *, on: bool) -> None:
        if on:
            self._on.set()
        else:
            self._on.clear()


class Turns:
    """Scheduler that lets `running` holders of a turn run at once. Belongs to one event loop.

    The smallest run first, so that small work never waits long. If `running` is above 1, the
    oldest always runs too, so that large work ends eventually.
    """

    def __init__(self, running: int) -> None:
        self._running = running
        self._turns: list[Turn] = []  # In order of arrival.

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> AsyncIterator[Turn]:
        """Hold a place in the queue for the duration of the block."""
        turn = Turn(size_bytes)
        self._turns.append(turn)
        self._deal()
        try:
            yield turn
        finally:
            self._turns.remove(turn)
            self._deal()

    def _deal(self) -> None:
        oldest = self._turns[:1] if self._running > 1 else []
        rest = sorted(self._turns[len(oldest) :], key=lambda turn: turn.size_bytes)
        for place, turn in enumerate(oldest + rest):
            turn.set(on=place < self._running)
