"""Why a file of the store could not be read or written, as callers are told it.

Only its content says that a file is damaged. Whatever else keeps it from being read (no
descriptor, no memory, no permission, a fault of the disk) says nothing of it: the file may be
read a moment later, or once somebody has seen to the machine.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seedpoint.service.concurrency.shortage import name_of
from seedpoint.service.errors import StoreFull, StoreUnreadable, StoreUnwritable
from seedpoint.service.logger import get_logger
from seedpoint.service.storage.checksums import Damaged

log = get_logger("seedpoint.store")

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# A directory, a socket or a loop of links stands where a file should.
_NO_FILE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


@contextmanager
def reading(root: Path, path: Path) -> Iterator[None]:
    """Inside, `path` in the store `root` is read.

    Raises FileNotFoundError, Damaged where something that is no file has its name, and
    StoreUnreadable for every other OSError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_FILE:
            raise Damaged(f"it is no file: {error.strerror}") from error
        raise unreadable(root, path, error) from error


@contextmanager
def storing(root: Path) -> Iterator[None]:
    """Inside, a file of the store `root` is written. Raises StoreFull, StoreUnwritable."""
    try:
        yield
    except OSError as error:
        file = _within(root, error.filename)
        log.error(
            "the store cannot be written", errno=name_of(error), file=file, reason=error.strerror
        )
        refusal = StoreFull if error.errno in FULL else StoreUnwritable
        raise refusal(f"the store cannot be written: {error.strerror}") from error


def unreadable(root: Path, path: Path, error: OSError) -> StoreUnreadable:
    """The refusal to raise when `error` kept `path` from being read; it is logged."""
    file = _within(root, path)
    log.error(
        "a file of the store cannot be read", errno=name_of(error), file=file, reason=error.strerror
    )
    return StoreUnreadable(f"{file} in the store cannot be read: {error.strerror}")


def _within(root: Path, path: object) -> str:
    """A path as it is in the store; empty when it is elsewhere, or there is none."""
    if not isinstance(path, str | os.PathLike):
        return ""
    inside = Path(path)
    return str(inside.relative_to(root)) if inside.is_relative_to(root) else ""
