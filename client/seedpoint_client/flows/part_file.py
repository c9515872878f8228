"""Part file: an unfinished download, which a later attempt goes on with."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

MIN_RANGE_BYTES = 1 << 20  # A shorter range costs more in its request than it saves.
JOURNAL_BYTES = 8 << 20  # Between two notes of a file in ranges: at most this is fetched again.


@dataclass(slots=True)
class Span:
    """Bytes [start, stop) of a file that are still missing; `start` advances."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


class PartFile:
    """Unfinished file of `size_bytes` at `path`, and the spans that it misses.

    Its length tells its kind. A file that is not longer than `size_bytes` lacks what is behind its
    end. A longer one was preallocated for several ranges, and a journal follows its bytes: the
    missing spans as JSON, padded with blanks. So a file that a killed process left is gone on
    with by either kind of download.
    """

    def __init__(self, path: Path, size_bytes: int, ranges: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        path.touch()
        self.spans, self._has_journal = self._kept()
        self._lock = threading.Lock()
        self._unnoted_bytes = 0
        wanted = min(ranges, max(1, self.missing_bytes // MIN_RANGE_BYTES))
        if wanted > 1 or self._has_journal:
            self._has_journal = True
            self.spans = _divided(self.spans, wanted)
            self._width = len(json.dumps([[size_bytes, size_bytes]] * len(self.spans)))
            self.note()

    @property
    def missing_bytes(self) -> int:
        return sum(span.size_bytes for span in self.spans)

    def wrote(self, count_bytes: int) -> None:
        """Count bytes that were written, and note the spans now and then."""
        with self._lock:
            self._unnoted_bytes += count_bytes
            due = self._has_journal and self._unnoted_bytes >= JOURNAL_BYTES
        if due:
            self.note()

    def note(self) -> None:
        """Write the journal, if the file has one."""
        if not self._has_journal:
            return
        with self._lock, suppress(FileNotFoundError), self.path.open("r+b") as file:
            self._unnoted_bytes = 0
            spans = [[span.start, span.stop] for span in self.spans]
            file.seek(self.size_bytes)
            file.write(json.dumps(spans).ljust(self._width).encode())
            file.truncate()

    def finish(self, path: Path) -> None:
        """Give the complete file its name."""
        try:
            with self.path.open("r+b") as file:
                file.truncate(self.size_bytes)
            self.path.replace(path)
        except FileNotFoundError:  # Another process has finished the same bytes.
            if not path.exists():
                raise

    def _kept(self) -> tuple[list[Span], bool]:
        """Return the spans that the file misses, and whether it has a journal."""
        length = self.path.stat().st_size
        if length <= self.size_bytes:
            return ([Span(length, self.size_bytes)] if length < self.size_bytes else []), False
        with self.path.open("rb") as file:
            file.seek(self.size_bytes)
            journal = file.read()
        try:
            spans = [Span(int(start), int(stop)) for start, stop in json.loads(journal)]
        except (ValueError, TypeError):  # Torn by a crash.
            return [Span(0, self.size_bytes)], True
        return [span for span in spans if span.size_bytes > 0], True


def _divided(spans: list[Span], count: int) -> list[Span]:
    """Return `spans` divided at their longest until there are `count` of them, in order."""
    found = list(spans)
    total = sum(span.size_bytes for span in spans)
    while found and len(found) < count:
        longest = max(found, key=lambda span: span.size_bytes)
        pieces = max(2, round(longest.size_bytes * count / total))
        pieces = min(pieces, count - len(found) + 1)
        ends = [longest.start + longest.size_bytes * i // pieces for i in range(pieces + 1)]
        found.remove(longest)
        found += [Span(start, stop) for start, stop in pairwise(ends)]
    return sorted(found, key=lambda span: span.start)
