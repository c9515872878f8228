"""Files that appear whole or not at all, and what is left of those that did not."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LEFT = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)
_SHOWN = 40  # Characters of a file's name in that of its temporary one: 160 bytes at most.


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A descriptor of a new file that takes the place of `path` when the block ends well.

    It does so durably: also when the power goes, there is the whole file or what there was
    before. A link stays, and what it points to is replaced. A process that is killed
    meanwhile leaves a temporary file, which `is_left` knows. Raises OSError, also for a
    device or a pipe, which are nobody's to replace: /dev/null would be gone for the whole
    machine.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    temporary = temporary_path(path)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            with suppress(OSError):  # Without locks, nothing that is left is removed either.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
            os.fsync(descriptor)
            temporary.replace(path)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """A file of `pieces` at `path` as by `replacing`; its directory is made. Raises OSError."""
    _make_folder(path.parent)
    with replacing(path) as descriptor:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(descriptor, left) :]


def check_writable(folder: Path, nbytes: int) -> None:
    """Raises OSError when no file of `nbytes` can be written in `folder`, which is made."""
    _make_folder(folder)
    probe = temporary_path(folder / "probe")
    try:
        write_atomically(probe, [bytes(nbytes)])
    finally:
        with suppress(OSError):
            probe.unlink()


def can_list(folder: Path) -> bool:
    """Whether it is there and may be looked into."""
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False


def temporary_path(path: Path) -> Path:
    """A new name beside `path`, which `is_left` knows, with the process id in it."""
    return path.with_name(f".{path.name[:_SHOWN]}.{os.getpid()}.{secrets.token_hex(8)}.tmp")


def is_left(name: str) -> bool:
    """Whether a file of this name is one that was not finished, now or ever."""
    return _LEFT.fullmatch(name) is not None


def remove_left(path: Path) -> None:
    """Removes a file that `is_left`, unless somebody still writes it, who then has it locked."""
    with suppress(OSError):  # Locked, or gone by now; or on a filesystem without locks.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


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
    with suppress(PermissionError):  # One that may be written to, but not be read.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
