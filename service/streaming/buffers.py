"""A ring of reused buffers for the chunks of bodies.

Fresh memory for every chunk costs most of the rate (page faults, cold caches). A
buffer comes back by itself when the last who holds the chunk lets go of it, be that
the transport that still has bytes to send or a thread that still writes: CPython
frees the chunk's array then, and a weak reference tells.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

LINE_BYTES = 64
SMALLEST_BYTES = 1 << 16


class Buffers:
    """Buffers for reuse, latest first (still cached); they hold up to `keep_bytes` in all."""

    def __init__(self, *, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self._free: dict[int, deque[NDArray[np.uint8]]] = {}  # By size.

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for reuse."""
        return sum(size * len(free) for size, free in list(self._free.items()))

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """A chunk: `nbytes` uninitialized bytes, in a buffer of the next power of two.

        Hold the chunk itself or a memoryview of it, not a NumPy view: NumPy views keep
        the buffer alive but not the chunk, so the buffer would be reused under them.
        """
        size = max(SMALLEST_BYTES, 1 << (nbytes - 1).bit_length())
        free = self._free.setdefault(size, deque())
        try:
            buffer = free.pop()
        except IndexError:
            buffer = _aligned(size)
        chunk = buffer[:nbytes]
        # Called in whichever thread drops the last reference.
        weakref.finalize(chunk, self._give_back, buffer).atexit = False
        return chunk

    def _give_back(self, buffer: NDArray[np.uint8]) -> None:
        """Keeps the buffer; drops the oldest, of other sizes first, while too many bytes wait."""
        size = len(buffer)
        self._free[size].append(buffer)
        surplus = self.waiting_bytes - self._keep_bytes
        for other in sorted(self._free, key=size.__eq__) if surplus > 0 else ():
            surplus -= self._drop(other, surplus)

    def _drop(self, size: int, nbytes: int) -> int:
        """Drops the oldest buffers of a size, as far as there are, for `nbytes`; what they held."""
        dropped = 0
        with suppress(IndexError):  # None is left.
            while dropped < nbytes:
                dropped += len(self._free[size].popleft())
        return dropped


def _aligned(nbytes: int) -> NDArray[np.uint8]:
    """Memory that begins at a cache line: vector stores across two lines take twice as long."""
    room = np.empty(nbytes + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    return room[start : start + nbytes]
