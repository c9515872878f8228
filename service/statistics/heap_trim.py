"""Return of freed memory from the allocator to the system."""

from __future__ import annotations

import _thread
import ctypes
import time
import weakref
from collections.abc import Callable

DELAY_SECONDS = 1.0  # Wait until all objects that are freed together are gone.

Trim = Callable[[int], object]  # Takes the number of free bytes to keep.

MALLOC_TRIM: Trim | None = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only.


def give_back_after(
    whole: object, *, trim: Trim | None = MALLOC_TRIM, delay_seconds: float = DELAY_SECONDS
) -> None:
    """Return free memory to the system by `trim` soon after `whole`, a large object, is freed.

    Freed blocks lie between live ones, so without this a process keeps its peak size. Trimming
    takes about 50 ms per gigabyte, without the interpreter lock.
    """
    if trim is not None:
        # Finalizers run anywhere, even while `threading` holds its own locks: use `_thread`.
        start, arguments = _thread.start_new_thread, (trim, delay_seconds)
        weakref.finalize(whole, start, _give_back, arguments).atexit = False


def _give_back(trim: Trim, delay_seconds: float) -> None:
    time.sleep(delay_seconds)
    trim(0)
