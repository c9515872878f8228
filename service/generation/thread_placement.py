"""CPU affinity and priority of the generating threads, on Linux only."""

from __future__ import annotations

import itertools
import os
import threading

NICENESS = 10  # A tenth of the event loop's weight, so that requests are answered first.


class Placement:
    """Thread initializer that lowers the thread's priority and, if `pinned`, fixes its CPU.

    With `pinned`, thread i runs on the i-th CPU that this process may use. The scheduler wakes
    threads on their waker's CPU: without pinning, two threads woken at once share a CPU for
    milliseconds while another one idles.
    """

    def __init__(self, *, pinned: bool) -> None:
        self._pinned = pinned
        self._numbers = itertools.count()

    def __call__(self) -> None:
        if not hasattr(os, "sched_setaffinity"):
            return
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        if self._pinned:
            cpus = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cpus[next(self._numbers) % len(cpus)]})
