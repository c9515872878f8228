"""A ring of reused buffers for the chunks of bodies.

Fresh memory for every chunk costs most of the rate (page faults, cold caches). A
buffer comes back by itself when the last who holds the chunk lets go of it, be that
the transport that still has bytes to send or a thread that still writes: CPython
frees the chunk's array then, and a weak reference tells.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

LINE_BYTES = 64


class Buffers:
    """Buffers of `nbytes` bytes; up to `keep` are kept for reuse, latest first (still cached)."""

    def __init__(self, nbytes: int, *, keep: int) -> None:
        self.nbytes = nbytes
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=keep)

    def __len__(self) -> int:
        """How many buffers wait for reuse."""
        return len(self._free)

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """A chunk: `nbytes` (at most the buffers' size) uninitialized bytes.

        Hold the chunk itself or a memoryview of it, not a NumPy view: NumPy views keep
        the buffer alive but not the chunk, so the buffer would be reused under them.
        """
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = _aligned(self.nbytes)
        chunk = buffer[:nbytes]
        # Collected in whichever thread drops the last reference: deque.append is atomic.
        weakref.finalize(chunk, self._free.append, buffer).atexit = False
        return chunk


def _aligned(nbytes: int) -> NDArray[np.uint8]:
    """Memory that begins at a cache line: vector stores across two lines take twice as long."""
    room = np.empty(nbytes + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    return room[start : start + nbytes]
