"""Progress of a download."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a download: bytes of the present file, and of all files together.

    Bytes that an earlier attempt has kept count as done.
    """

    file: str
    file_done_bytes: int
    file_bytes: int
    done_bytes: int
    total_bytes: int


Report = Callable[[Progress], object]
"""Function that is told the progress: from any thread, one call at a time."""


class Meter:
    """Count of the bytes of a download, which reports every change."""

    def __init__(self, report: Report | None, total_bytes: int) -> None:
        self._report = report
        self._total_bytes = total_bytes
        self._before_bytes = 0  # of the files that are done
        self._file, self._file_bytes, self._file_done_bytes = "", 0, 0
        self._lock = threading.Lock()

    def begin(self, file: str, size_bytes: int, kept_bytes: int) -> None:
        """Begin a file, of which `kept_bytes` are there already."""
        self._before_bytes += self._file_bytes
        self._file, self._file_bytes, self._file_done_bytes = file, size_bytes, kept_bytes
        self.add(0)

    def add(self, count_bytes: int) -> None:
        """Count further bytes of the present file; negative if they are to be sent again."""
        with self._lock:
            self._file_done_bytes += count_bytes
            if self._report is not None:
                self._report(self._progress())

    def _progress(self) -> Progress:
        done = self._file_done_bytes
        return Progress(
            self._file, done, self._file_bytes, self._before_bytes + done, self._total_bytes
        )
