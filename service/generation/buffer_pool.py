"""Pool of reused buffers for the chunks of bodies.

Fresh memory for every chunk would cost most of the throughput (page faults, cold caches). A
buffer returns to the pool when the last holder of its chunk releases it, either the transport
that still sends or a thread that still writes: CPython then frees the chunk's array, and a weak
reference reports it.

Each buffer is a memory mapping of its own. malloc would map the first buffers too, but it raises
its threshold once they are freed. From then on it keeps all memory below a block in use; after a
thousand slow clients, it never returns that memory.
"""

from __future__ import annotations

import mmap
import sys
import weakref
from collections import deque
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

HUGE_BYTES = 4 << 20  # NumPy's limit: in a smaller buffer, a huge page is mostly unused.
SMALLEST_BYTES = 1 << 16  # Smallest buffer.


class Buffers:
    """Pool of up to `keep_bytes` of free buffers; the latest, still cached, is reused first."""

    def __init__(self, *, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self._free: dict[int, deque[NDArray[np.uint8]]] = {}  # By size.

    @property
    def waiting_bytes(self) -> int:
        """Total size of free buffers, in bytes."""
        return sum(size * len(free) for size, free in list(self._free.items()))

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """Return a chunk of `nbytes` uninitialized bytes, in a buffer of the next power of two.

        Hold the chunk itself or a memoryview of it. A NumPy view keeps the buffer alive but not
        the chunk, so the buffer would be reused while the view exists.
        """
        size = max(SMALLEST_BYTES, 1 << (nbytes - 1).bit_length())
        free = self._free.setdefault(size, deque())
        try:
            buffer = free.pop()
        except IndexError:
            buffer = _mapped(size)
        chunk = buffer[:nbytes]
        # Runs in the thread that drops the last reference.
        weakref.finalize(chunk, self._give_back, buffer).atexit = False
        return chunk

    def clear(self) -> None:
        """Free all buffers that wait for reuse."""
        for size in list(self._free):
            self._drop(size, sys.maxsize)

    def _give_back(self, buffer: NDArray[np.uint8]) -> None:
        """Keep the buffer, then drop surplus buffers, the oldest first, of other sizes first."""
        size = len(buffer)
        self._free[size].append(buffer)
        surplus = self.waiting_bytes - self._keep_bytes
        for other in sorted(self._free, key=size.__eq__) if surplus > 0 else ():
            surplus -= self._drop(other, surplus)

    def _drop(self, size: int, nbytes: int) -> int:
        """Drop the oldest buffers of a size until they total `nbytes`; return their total."""
        dropped = 0
        with suppress(IndexError):  # No buffer of this size is left.
            while dropped < nbytes:
                dropped += len(self._free[size].popleft())
        return dropped


def _mapped(nbytes: int) -> NDArray[np.uint8]:
    """Map memory that returns to the system when it is freed.

    It starts at a page, and so at a cache line: vector stores across two lines take twice as
    long.
    """
    mapping = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if nbytes >= HUGE_BYTES:
        with suppress(AttributeError, OSError):  # The system may have no huge pages.
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, np.uint8)
