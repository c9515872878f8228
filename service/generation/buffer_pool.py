"""A ring of reused buffers for the chunks of bodies.

Fresh memory for every chunk costs most of the rate (page faults, cold caches). A
buffer comes back by itself when the last who holds the chunk lets go of it, be that
the transport that still has bytes to send or a thread that still writes: CPython
frees the chunk's array then, and a weak reference tells.

Each buffer is a mapping of its own. malloc would take the first ones from mappings too, but
raises its threshold when they are freed, and from then on keeps what lies below something that
is still in use: after a thousand slow clients, for ever.
"""

from __future__ import annotations

import mmap
import sys
import weakref
from collections import deque
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

HUGE_BYTES = 4 << 20  # As NumPy does: below, a huge page would be mostly unused.
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
            buffer = _mapped(size)
        chunk = buffer[:nbytes]
        # Called in whichever thread drops the last reference.
        weakref.finalize(chunk, self._give_back, buffer).atexit = False
        return chunk

    def clear(self) -> None:
        """Gives back what waits for reuse."""
        for size in list(self._free):
            self._drop(size, sys.maxsize)

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


def _mapped(nbytes: int) -> NDArray[np.uint8]:
    """Memory that goes back to the system when it is freed. It begins at a page.

    So it does at a cache line: vector stores across two lines take twice as long.
    """
    mapping = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if nbytes >= HUGE_BYTES:
        with suppress(AttributeError, OSError):  # Where there are huge pages.
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, np.uint8)
