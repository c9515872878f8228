"""Faults of the backend, as the errors that callers get."""

from __future__ import annotations

import errno
import os

import pytest

from seedpoint.service.errors import StoreFull, StoreUnreadable, StoreUnwritable
from seedpoint.service.storage.faults import reading, storing


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_an_object_that_cannot_be_read_is_not_called_damaged(number: int) -> None:
    with pytest.raises(StoreUnreadable) as refused, reading("plans/ab/abcd.json"):
        raise OSError(number, os.strerror(number), "/secret/plans/ab/abcd.json")
    message = f"plans/ab/abcd.json in the store cannot be read: {os.strerror(number)}"
    assert str(refused.value) == message


def test_an_absent_object_is_absent() -> None:
    with pytest.raises(FileNotFoundError), reading("plans/ab/abcd.json"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


@pytest.mark.parametrize(
    ("number", "refusal"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreUnwritable),
        (errno.EIO, StoreUnwritable),
    ],
)
def test_a_full_store_is_told_from_one_that_cannot_be_written(
    number: int, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal) as refused, storing("plans/ab/abcd.json"):
        raise OSError(number, os.strerror(number), "/secret/plans/ab/abcd.json")
    assert str(refused.value) == f"the store cannot be written: {os.strerror(number)}"
