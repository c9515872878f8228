"""Memory of processes: the use of one, and a limit on the further use of this one.

Both need Linux's /proc and RLIMIT_DATA. Elsewhere the use is unknown and nothing is limited.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PAGE_BYTES = resource.getpagesize()
_RESIDENT, _DATA = 1, 5  # Fields of /proc/<pid>/statm.


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process, shared pages included; None if unknown."""
    with suppress(OSError):  # No free descriptor, so that no process can be examined.
        return _statm(str(pid), _RESIDENT)
    return None


@contextmanager
def at_most(more_bytes: int) -> Iterator[None]:
    """Let this process take at most `more_bytes` of memory inside the block.

    Allocations beyond that fail. RLIMIT_DATA counts private writable memory, touched or not. The
    address space of phantom tensors is neither readable nor writable and does not count; this is
    why the limit is not RLIMIT_AS. Raises: OSError if the current use cannot be read.
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
