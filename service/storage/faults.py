"""Faults of reading and writing the store's files, as the errors that callers get.

Only its content shows that a file is damaged. Any other obstacle to reading it (no descriptor, no
memory, no permission, a disk fault) says nothing about the content: the file may be readable a
moment later, or after an operator's repair.
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
# A directory, a socket or a loop of links has the file's name.
_NO_FILE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


@contextmanager
def reading(root: Path, path: Path) -> Iterator[None]:
    """Translate the errors of a block that reads `path` in the store `root`.

    Raises: FileNotFoundError; Damaged if something other than a file has the name;
    StoreUnreadable for every other OSError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_FILE:
            raise Damaged(f"it is not a file: {error.strerror}") from error
        raise unreadable(root, path, error) from error


@contextmanager
def storing(root: Path) -> Iterator[None]:
    """Translate the errors of a block that writes to the store `root`.

    Raises: StoreFull, StoreUnwritable.
    """
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
    """Log `error`, which kept `path` from being read, and return the refusal to raise."""
    file = _within(root, path)
    log.error(
        "a file of the store cannot be read", errno=name_of(error), file=file, reason=error.strerror
    )
    return StoreUnreadable(f"{file} in the store cannot be read: {error.strerror}")


def _within(root: Path, path: object) -> str:
    """Return a path relative to the store `root`; empty if it is elsewhere, or not a path."""
    if not isinstance(path, str | os.PathLike):
        return ""
    inside = Path(path)
    return str(inside.relative_to(root)) if inside.is_relative_to(root) else ""
