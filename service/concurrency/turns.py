"""Whose turn it is: of all work that takes long, a few go on and the rest wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turn:
    """The place of one piece of work, `size_bytes` large; it goes on while `is_on`."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._on = asyncio.Event()

    @property
    def is_on(self) -> bool:
        return self._on.is_set()

    async def come(self) -> None:
        """Returns when the turn has come; to be awaited again and again, since it may pass."""
        await self._on.wait()

    def set(self, *, on: bool) -> None:
        if on:
            self._on.set()
        else:
            self._on.clear()


class Turns:
    """`running` of those that take a turn go on at once. Belongs to one event loop.

    They are the smallest, so that nobody waits long for what takes little, and where there
    is more than one the oldest too, so that it ends some time.
    """

    def __init__(self, running: int) -> None:
        self._running = running
        self._turns: list[Turn] = []  # In the order they came.

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> AsyncIterator[Turn]:
        """A turn as long as the block runs."""
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
