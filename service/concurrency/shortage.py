"""Errors of the system that tell of what is short at the moment, and of nothing that is asked."""

from __future__ import annotations

import errno

ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def is_shortage(error: BaseException) -> bool:
    """Whether no descriptor or memory was left: the same call may do a moment later."""
    return isinstance(error, OSError) and error.errno in ERRNOS


def name_of(error: OSError) -> str:
    """The error's name in <errno.h>, as "EMFILE"; empty when it has none."""
    return errno.errorcode.get(error.errno or 0, "")
