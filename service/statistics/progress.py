"""Progress of long computations."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from seedpoint.service.concurrency.turns import Turn, Turns

Document = dict[str, int | float | str | None]


@dataclass
class Progress:
    """Bytes generated out of a total. Without a turn, the work is not begun or is done."""

    bytes_total: int
    bytes_done: int = 0
    turn: Turn | None = None
    started: float | None = None

    async def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more, then wait until the work may go on."""
        self.bytes_done += size_bytes
        if self.turn is not None:
            await self.turn.come()

    @property
    def state(self) -> str:
        if self.turn is not None:
            return "running" if self.turn.is_on else "waiting"
        return "not-begun" if self.bytes_done < self.bytes_total else "done"

    @property
    def document(self) -> Document:
        """Progress as clients see it; `remaining_seconds` is null until some bytes are done."""
        elapsed = 0.0 if self.started is None else time.monotonic() - self.started
        rate = self.bytes_done / elapsed if elapsed > 0 else 0.0
        left = self.bytes_total - self.bytes_done
        share = self.bytes_done / self.bytes_total if self.bytes_total else 1.0
        return {
            "state": self.state,
            "percent": round(100 * share, 2),
            "bytes_done": self.bytes_done,
            "bytes_total": self.bytes_total,
            "bytes_per_second": round(rate),
            "elapsed_seconds": round(elapsed, 3),
            "remaining_seconds": round(left / rate, 3) if rate else None if left else 0.0,
        }


class Board:
    """Progress of all work in progress, by key; a few items run at once, in turns."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._shown: dict[str, Progress] = {}

    @asynccontextmanager
    async def showing(self, key: str, bytes_total: int) -> AsyncIterator[Progress]:
        """Publish the block's progress under `key`; the block starts when its turn comes."""
        async with self._turns.turn(bytes_total) as turn:
            progress = self._shown[key] = Progress(bytes_total, turn=turn)
            try:
                await turn.come()
                progress.started = time.monotonic()
                yield progress
            finally:
                if self._shown.get(key) is progress:
                    del self._shown[key]

    def document(self, key: str) -> Document:
        """Return the progress of `key`, as done if it is not in progress."""
        return self._shown.get(key, Progress(0)).document
