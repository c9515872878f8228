"""System errors that report a temporary shortage, independent of the request."""

from __future__ import annotations

import errno

ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def is_shortage(error: BaseException) -> bool:
    """Return whether descriptors or memory ran out: the same call may succeed a moment later."""
    return isinstance(error, OSError) and error.errno in ERRNOS


def name_of(error: OSError) -> str:
    """Return the error's name in <errno.h>, for example "EMFILE"; empty if it has none."""
    return errno.errorcode.get(error.errno or 0, "")
