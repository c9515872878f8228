"""Files written atomically, and the temporary files that interrupted writers leave."""

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
_SHOWN = 40  # Characters of a file's name in its temporary name: 160 bytes at most.


@contextmanager
def replacing(path: Path, *, create: bool = False) -> Iterator[int]:
    """Yield a descriptor of a new file that replaces `path` when the block ends without error.

    The replacement is durable: after a power failure, `path` is the whole new file or the old
    one. A symbolic link stays, and its target is replaced. A process killed inside the block
    leaves a temporary file, which `is_left` recognizes. Raises: FileExistsError at the end of the
    block if `create` and `path` exists by then; OSError, also for a device or a pipe, which must
    not be replaced: /dev/null would be gone for the whole machine.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    temporary = temporary_path(path)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            with suppress(OSError):  # Without locks, temporary files are not removed either.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
            os.fsync(descriptor)
            if create:
                _rename_new(temporary, path)
            else:
                temporary.replace(path)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write `pieces` to `path` as `replacing` does, and make its directory. Raises OSError."""
    make_folder(path.parent)
    with replacing(path) as descriptor:
        for piece in pieces:
            write_all(descriptor, piece)


def write_all(descriptor: int, piece: bytes | memoryview) -> None:
    """Write all of `piece`, however many calls that takes. Raises OSError."""
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def check_writable(folder: Path, nbytes: int) -> None:
    """Raise OSError if no file of `nbytes` can be written in `folder`, which is made."""
    make_folder(folder)
    probe = temporary_path(folder / "probe")
    try:
        write_atomically(probe, [bytes(nbytes)])
    finally:
        with suppress(OSError):
            probe.unlink()


def temporary_path(path: Path) -> Path:
    """Return a new name beside `path`, with the process id in it, that `is_left` recognizes."""
    return path.with_name(f".{path.name[:_SHOWN]}.{os.getpid()}.{secrets.token_hex(8)}.tmp")


def is_left(name: str) -> bool:
    """Return whether `name` is that of an unfinished file, abandoned or still being written."""
    return _LEFT.fullmatch(name) is not None


def remove_left(path: Path) -> None:
    """Remove a file that `is_left`, unless its writer still holds the lock."""
    with suppress(OSError):  # Locked, or gone by now, or on a filesystem without locks.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock file `path` inside the block, shared unless `exclusive`.

    Raises: OSError on a filesystem without locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a directory and its parents durably. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    _sync_folder(path.parent)


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename a file, unless `path` exists. Raises OSError, FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # A filesystem without hard links: the last of two writers wins there.
        temporary.replace(path)
    else:
        temporary.unlink()


def _sync_folder(path: Path) -> None:
    with suppress(PermissionError):  # The directory is writable, but not readable.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
