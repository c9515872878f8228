"""Files that appear whole or not at all, and what is left of those that did not."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LEFT = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """A file of `pieces` at `path`, durably, or nothing there: also when the power goes.

    A process that is killed meanwhile leaves a temporary file, which `is_left` knows.
    """
    _make_folder(path.parent)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """A new name beside `path`, which `is_left` knows."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def is_left(name: str) -> bool:
    """Whether a file of this name is one that was not finished, now or ever."""
    return _LEFT.fullmatch(name) is not None


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Inside, no other process or thread holds the lock `path` against this one.

    Raises OSError on a filesystem without locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    """A directory that is there durably; those that it is in are made too."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
