"""The memory of processes: what one has, and a bound on what this one may take besides.

By Linux's /proc and RLIMIT_DATA. Elsewhere nothing is known and nothing is bound.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PAGE_BYTES = resource.getpagesize()
_RESIDENT, _DATA = 1, 5  # Fields of /proc/<pid>/statm.


def resident_bytes(pid: int) -> int | None:
    """What a process has in memory, shared pages included; None when nothing tells."""
    with suppress(OSError):  # None can be looked at for want of a descriptor.
        return _statm(str(pid), _RESIDENT)
    return None


@contextmanager
def at_most(more_bytes: int) -> Iterator[None]:
    """Inside, this process may take that much more memory; then allocations fail.

    RLIMIT_DATA counts memory that is private and writable, whether touched or not. The
    address space of phantom tensors is neither readable nor writable and does not count,
    which is why this is not RLIMIT_AS. Raises OSError when it is not known what it has.
    """
    has = _statm("self", _DATA)
    if has is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = has + more_bytes
    bounded = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bounded, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _statm(pid: str, field: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[field]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, IndexError):  # Not Linux, or it has ended.
        return None
