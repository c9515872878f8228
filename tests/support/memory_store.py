"""Storage in memory: the least that keeps the contract of `Store`."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from seedpoint.service.storage.store import Entry, Kind, Version, Write


class MemoryStore:
    """Store for the threads of one process."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Kind, str], tuple[Entry, bytes]] = {}
        # Kind, size and content, by version.
        self._unfinished: dict[int, tuple[Kind, int, bytearray]] = {}
        self._versions = iter(range(1 << 62))
        self._locks: defaultdict[tuple[Kind, str], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def get(self, kind: Kind, name: str) -> bytes:
        try:
            return self._objects[kind, name][1]
        except KeyError:
            raise FileNotFoundError(name) from None

    def get_range(self, kind: Kind, name: str, start: int, stop: int) -> bytes:
        return self.get(kind, name)[start:stop]

    def map(self, kind: Kind, name: str) -> tuple[Version, memoryview]:
        content = memoryview(bytearray(self.get(kind, name)))
        return self._objects[kind, name][0].version, content

    def stat(self, kind: Kind, name: str) -> Entry | None:
        found = self._objects.get((kind, name))
        return None if found is None else found[0]

    def entries(self, kind: Kind, prefix: str = "") -> Iterator[Entry]:
        for entry, _ in list(self._objects.values()):
            if entry.kind == kind and entry.name.startswith(prefix):
                yield entry

    @contextmanager
    def writing(
        self, kind: Kind, name: str, *, create: bool = False, size_bytes: int = 0
    ) -> Iterator[Write]:
        content, version = bytearray(), next(self._versions)
        self._unfinished[version] = (kind, size_bytes, content)
        try:
            yield content.extend
            now_ns = time.time_ns()
            with self._lock:
                if create and (kind, name) in self._objects:
                    raise FileExistsError(name)
                entry = Entry(kind, name, len(content), now_ns, now_ns, version, len(content))
                self._objects[kind, name] = (entry, bytes(content))
        finally:
            del self._unfinished[version]

    def use(self, kind: Kind, name: str, used_ns: int) -> bool:
        with self._lock:
            if (found := self._objects.get((kind, name))) is None:
                return False
            entry, content = found
            later_ns = max(used_ns, entry.used_ns + 1)
            self._objects[kind, name] = (entry._replace(used_ns=later_ns), content)
            return True

    def delete(self, kind: Kind, name: str, unused_since_ns: int | None = None) -> bool:
        with self._lock:
            entry = self.stat(kind, name)
            if entry is None or entry.used_ns > (unused_since_ns or entry.used_ns):
                return False
            del self._objects[kind, name]
            return True

    @contextmanager
    def lock(self, kind: Kind, name: str = "") -> Iterator[None]:
        with self._locks[kind, name]:
            yield

    def unfinished_bytes(self, kind: Kind) -> int:
        sizes = ((of, max(n, len(content))) for of, n, content in self._unfinished.values())
        return sum(nbytes for of, nbytes in sizes if of == kind)

    def discard_unfinished(self, before_ns: int) -> None:
        """Nothing is left by a writer in memory."""

    def check_writable(self) -> None:
        """Memory can be written."""
