"""Progress of long computations."""

from __future__ import annotations

import time
from dataclasses import dataclass

from seedpoint.service.concurrency.admission import Slot

Document = dict[str, int | float | str | None]


@dataclass
class Progress:
    """Bytes generated out of a total. Without a turn, the work is not begun or is done."""

    bytes_total: int
    bytes_done: int = 0
    turn: Slot | None = None
    started: float | None = None

    async def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more, then wait until the work may go on."""
        self.bytes_done += size_bytes
        if self.turn is not None:
            await self.turn.granted()

    @property
    def state(self) -> str:
        if self.turn is not None:
            return "running" if self.turn.is_granted else "waiting"
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
