"""How many files this process may have open, and how many of them connections may take."""

from __future__ import annotations

import resource
from contextlib import suppress

from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.descriptors")

BASE = 96  # Of the interpreter, the libraries, the listening sockets, and threads that do I/O.
PER_THREAD = 2  # A thread reads or writes a file, and may have a lock or a directory open.
PER_WORKER = 6  # A worker's pipe and sentinels, and what starting its successor takes.
LEAST_SHARE = 4  # Connections have at least one part in so many.


def reserve(threads: int, workers: int) -> int:
    """Descriptors that a service of so many threads and worker processes needs for itself."""
    return BASE + PER_THREAD * threads + PER_WORKER * workers


def for_connections(wanted: int, reserved: int) -> int:
    """How many of `wanted` connections may be open beside `reserved` descriptors.

    The soft limit of open files (RLIMIT_NOFILE) is raised as far as that needs it and the
    hard limit allows it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + reserved
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):  # A system with a bound of its own.
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = min(wanted, max(soft - reserved, soft // LEAST_SHARE, 1))
    log.warning("fewer connections than max_connections", connections=allowed, open_files=soft)
    return allowed
