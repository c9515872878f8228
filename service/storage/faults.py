"""Faults of reading and writing the store, as the errors that callers get.

Only its content shows that an object is damaged. Any other obstacle to reading it (no descriptor,
no memory, no permission, a disk fault) says nothing about the content: the object may be readable
a moment later, or after an operator's repair.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from seedpoint.service.concurrency.shortage import name_of
from seedpoint.service.errors import StoreFull, StoreUnreadable, StoreUnwritable
from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.store")

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Translate the errors of a block that reads the store at `place`, a key or a folder.

    Raises: FileNotFoundError; StoreUnreadable for every other OSError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror
        log.error(
            "a file of the store cannot be read", errno=name_of(error), file=place, reason=reason
        )
        raise StoreUnreadable(f"{place} in the store cannot be read: {reason}") from error


@contextmanager
def storing(place: str = "") -> Iterator[None]:
    """Translate the errors of a block that writes to the store at `place`.

    Raises: StoreFull, StoreUnwritable.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror
        log.error("the store cannot be written", errno=name_of(error), file=place, reason=reason)
        refusal = StoreFull if error.errno in FULL else StoreUnwritable
        raise refusal(f"the store cannot be written: {reason}") from error
