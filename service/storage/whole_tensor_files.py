"""Whole tensors in a storage backend, up to a size limit; the longest unused are removed first.

An object is named by the SHA-256 of everything that its content depends on, and has the digests
of its blocks. One of the processes that share the storage computes each. Readers have it mapped,
so they keep it after its removal.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import astuple
from typing import Final

import numpy as np

from seedpoint.models.generation.whole_tensors import Raw, WholeTensor
from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.storage.checksums import (
    checked_content,
    trailer_bytes,
    with_block_digests,
)
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.eviction import Policy, doomed
from seedpoint.service.storage.store import Damaged, Entry, Store, Version

KIND: Final = "whole_tensors"
STREAM = "philox-v1"
LEAST_BYTES = 1 << 16  # Least size that an object counts, which limits their number.
AHEAD_NS = 60 * 10**9  # Tolerated difference between the clocks of processes.
CHECKED = 10_000  # Objects remembered as intact; beyond that all are checked anew.


class WholeTensorFiles:
    """Whole tensors in `store`, of at most `max_bytes` together. Thread-safe.

    The content of an object is checked when it is first opened; a damaged object is removed.
    """

    def __init__(self, store: Store, max_bytes: int, *, clock: Clock = system) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._clock = clock
        self._checked: dict[str, Version] = {}

    def open(self, whole: WholeTensor) -> Raw | None:
        """Return the whole tensor, mapped, and note its use; None if it is absent.

        An unreadable object counts as absent: computing it again is always safe. Raises: OSError
        if descriptors or memory are lacking.
        """
        name = _name(whole)
        try:
            version, file = self._store.map(KIND, name)
        except (FileNotFoundError, Damaged):
            return None
        except OSError as error:
            if is_shortage(error):
                raise
            return None
        if self._checked.get(name) != version:
            try:
                checked_content(file, name, whole.nbytes)
            except Damaged:
                with suppress(OSError):
                    self._store.delete(KIND, name)
                return None
        if len(self._checked) >= CHECKED:
            self._checked.clear()
        self._checked[name] = version
        with suppress(OSError):
            self._store.use(KIND, name, self._clock().wall_ns)
        # Writable, although nobody writes: torch warns of read-only arrays.
        return np.frombuffer(file, np.uint8, whole.nbytes)

    def add(self, whole: WholeTensor, compute: Callable[[], Raw]) -> None:
        """Compute and store the whole tensor, unless it is present.

        Waits for another process that computes it. Raises: OSError if there is no room for it,
        if possible before it is computed.
        """
        name = _name(whole)
        with self._store.lock(KIND, name):
            if self.open(whole) is not None:
                return
            with ExitStack() as stack:
                size_bytes = whole.nbytes + trailer_bytes(whole.nbytes)
                with self._store.lock(KIND):  # Until the room is reserved.
                    self._make_room(size_bytes)
                    writing = self._store.writing(KIND, name, size_bytes=size_bytes)
                    write = stack.enter_context(writing)
                for piece in with_block_digests([compute().data], name):
                    write(piece)

    def _make_room(self, nbytes: int) -> None:
        """Remove the longest unused until `nbytes` fit. Raises OSError if they cannot fit."""
        now_ns = self._clock().wall_ns + AHEAD_NS
        entries = [_counted(entry, now_ns) for entry in self._store.entries(KIND)]
        limit = self._max_bytes - max(nbytes, LEAST_BYTES) - self._store.unfinished_bytes(KIND)
        leaving = list(doomed(lambda: entries, Policy(None, limit, 0, grace_seconds=0.0), now_ns))
        if limit < sum(e.nbytes for e in entries) - sum(e.nbytes for e in leaving):
            raise OSError(errno.ENOSPC, f"whole tensors may take {self._max_bytes} bytes at most")
        for entry in leaving:
            self._store.delete(KIND, entry.name)


def _counted(entry: Entry, latest_ns: int) -> Entry:
    """Return the entry as eviction counts it.

    A time of use in the future, from a clock that was ahead, counts as none: the object would
    outlast others that are in use.
    """
    used_ns = entry.used_ns if entry.used_ns <= latest_ns else 0
    return entry._replace(nbytes=max(entry.nbytes, LEAST_BYTES), used_ns=used_ns)


def _name(whole: WholeTensor) -> str:
    """Return the SHA-256 of everything that the tensor's bytes depend on."""
    parts = [STREAM, whole.kind, *astuple(whole)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
