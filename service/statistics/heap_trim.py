"""Memory that was freed, but that the allocator keeps: given back to the system."""

from __future__ import annotations

import _thread
import ctypes
import time
import weakref

DELAY_SECONDS = 1.0  # Until all is free that goes together.

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Only glibc has it.


def give_back_after(whole: object) -> None:
    """Gives free memory back soon after `whole` has gone, which took much of it.

    What is freed lies between what is not: without this, a process stays as large as it
    ever was. It takes about 50 ms for a gigabyte, without the interpreter lock.
    """
    if _trim is not None:
        # Objects go at any place of the code, where `threading` may hold locks of its own.
        weakref.finalize(whole, _thread.start_new_thread, _give_back, ()).atexit = False


def _give_back() -> None:
    time.sleep(DELAY_SECONDS)
    if _trim is not None:
        _trim(0)
