"""Limits of open files and of connections for this process."""

from __future__ import annotations

import resource
from contextlib import suppress

from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.descriptors")

# Descriptors.
BASE = 96  # For the interpreter, the libraries, the listening sockets and I/O threads.
PER_THREAD = 2  # For a file that a thread reads or writes, and a lock or a directory.
PER_WORKER = 6  # For a worker's pipe and sentinels, and for starting its successor.
LEAST_SHARE = 4  # Connections get at least a quarter of the limit.


def reserve(threads: int, workers: int) -> int:
    """Return the descriptors that a service of these threads and workers needs for itself."""
    return BASE + PER_THREAD * threads + PER_WORKER * workers


def for_connections(wanted: int, reserved: int) -> int:
    """Return the number of `wanted` connections that fit beside `reserved` descriptors.

    Raises the soft limit of open files (RLIMIT_NOFILE) as far as necessary and as far as the
    hard limit allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + reserved
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):  # The system has a lower limit of its own.
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = min(wanted, max(soft - reserved, soft // LEAST_SHARE, 1))
    log.warning("fewer connections than max_connections", connections=allowed, open_files=soft)
    return allowed
