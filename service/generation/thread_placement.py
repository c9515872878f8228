"""Where and how urgently the threads run that generate. On Linux; elsewhere nothing is done."""

from __future__ import annotations

import itertools
import os
import threading

NICENESS = 10  # A tenth of the event loop's weight: whoever answers requests goes first.


class Placement:
    """Called by each thread as it starts: puts it behind the event loop, and on a CPU.

    `pinned`: thread i runs on CPU i of those this process may use. A scheduler wakes
    threads where their waker runs, so two of them, woken at once, would share a CPU for
    milliseconds while another idles.
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
