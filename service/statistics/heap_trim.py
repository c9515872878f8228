"""Return of freed memory from the allocator to the system."""

from __future__ import annotations

import _thread
import ctypes
import time
import weakref

DELAY_SECONDS = 1.0  # Wait until all objects that are freed together are gone.

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only.


def give_back_after(whole: object) -> None:
    """Return free memory to the system soon after `whole`, a large object, is freed.

    Freed blocks lie between live ones, so without this a process keeps its peak size. Trimming
    takes about 50 ms per gigabyte, without the interpreter lock.
    """
    if _trim is not None:
        # Finalizers run anywhere, even while `threading` holds its own locks: use `_thread`.
        weakref.finalize(whole, _thread.start_new_thread, _give_back, ()).atexit = False


def _give_back() -> None:
    time.sleep(DELAY_SECONDS)
    if _trim is not None:
        _trim(0)
