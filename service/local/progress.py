"""Progress of a long call, as one line on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

EVERY_SECONDS = 0.1  # between two writes of the line
DELAY_SECONDS = 0.5  # a call that is done sooner shows nothing


@contextmanager
def progress(
    label: str, total_bytes: int, *, shown: bool, to: TextIO | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a line with the share of `total_bytes` done, if `shown` and `to` is a terminal.

    The function that this yields takes the bytes just done, from any thread. `to` defaults to
    standard error.
    """
    stream = sys.stderr if to is None else to
    if not shown or not stream.isatty():
        yield _ignore
        return
    line = _Line(label, total_bytes, stream)
    try:
        yield line.advance
    finally:
        line.clear()


class _Line:
    def __init__(self, label: str, total_bytes: int, stream: TextIO) -> None:
        self._label = label
        self._total_bytes = max(total_bytes, 1)
        self._stream = stream
        self._done_bytes = 0
        self._started = time.monotonic()
        self._next = self._started + DELAY_SECONDS
        self._width = 0
        self._lock = threading.Lock()

    def advance(self, nbytes: int) -> None:
        """Count bytes, and write the line again if it is old."""
        with self._lock:
            self._done_bytes += nbytes
            now = time.monotonic()
            if now >= self._next:
                self._next = now + EVERY_SECONDS
                self._write(now)

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            self._put(" " * self._width + "\r")

    def _write(self, now: float) -> None:
        rate = self._done_bytes / (now - self._started)
        text = (
            f"{self._label}: {100 * self._done_bytes // self._total_bytes:3d}% of "
            f"{self._total_bytes / 1e9:.2f} GB, {rate / 1e9:.2f} GB/s"
        )
        self._width = max(self._width, len(text))
        self._put(f"{text:{self._width}}\r")

    def _put(self, text: str) -> None:
        self._stream.write(f"\r{text}")
        self._stream.flush()


def _ignore(_: int) -> None:
    """Ignore the bytes done."""
