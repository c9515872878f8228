"""How far something is that takes a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Document = dict[str, int | float | None]


@dataclass
class Progress:
    """Bytes generated of those that are to be."""

    bytes_total: int
    bytes_done: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def document(self) -> Document:
        """As clients see it; `remaining_seconds` is null as long as nothing is done."""
        elapsed = time.monotonic() - self.started
        rate = self.bytes_done / elapsed if elapsed > 0 else 0.0
        left = self.bytes_total - self.bytes_done
        share = self.bytes_done / self.bytes_total if self.bytes_total else 1.0
        return {
            "percent": round(100 * share, 2),
            "bytes_done": self.bytes_done,
            "bytes_total": self.bytes_total,
            "bytes_per_second": round(rate),
            "elapsed_seconds": round(elapsed, 3),
            "remaining_seconds": round(left / rate, 3) if rate else None if left else 0.0,
        }


class Board:
    """The progress of everything that is under way, by key."""

    def __init__(self) -> None:
        self._shown: dict[str, Progress] = {}

    @contextmanager
    def showing(self, key: str, bytes_total: int) -> Iterator[Progress]:
        """Shown as long as the block runs."""
        progress = self._shown[key] = Progress(bytes_total)
        try:
            yield progress
        finally:
            if self._shown.get(key) is progress:
                del self._shown[key]

    def document(self, key: str) -> Document:
        """How far it is; all of it when it is not under way."""
        return self._shown.get(key, Progress(0)).document
