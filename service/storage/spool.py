"""The spool: what was computed whole, on disk up to a bound; the longest unused goes first.

A directory of files, each named by the SHA-256 of what it holds and made to appear whole
by its name. A file is a head (MAGIC, SHA-256 of name and content, length) and the content,
which is mapped: whoever has it open keeps it, though it is removed meanwhile. Several
processes may share the directory: each whole is made by one of them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np

from seedpoint.models.generation.whole_tensors import Needed, Raw
from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.storage.atomic_files import (
    is_left,
    locked,
    remove_left,
    replacing,
    temporary_path,
)

STREAM = "philox-v1"
MAGIC = b"seedpoint whole\0"
HEAD = struct.Struct("<16s32sQ8x")  # 64 bytes, so that what follows is aligned as it is mapped.
LEAST_BYTES = 1 << 16  # What a file counts at least, so that there are never too many.
AHEAD_NS = 60 * 10**9  # That the clocks of processes which share the spool may differ.
CHECKED = 10_000  # Files that are known to be sound; then all are checked anew.

Stamp = tuple[int, int, int]


class Spool:
    """The spool in the directory `root`, of at most `max_bytes`. From any thread.

    What a file's content should be is checked when it is first opened, and the file
    removed when it is something else.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._checked: dict[str, Stamp] = {}

    def open(self, needed: Needed) -> Raw | None:
        """The whole, mapped and now the latest used; None when it is not here.

        What cannot be read is not here: to make it again is always right. Raises OSError for
        want of a descriptor or memory.
        """
        name = _name(needed)
        path = self.root / name
        try:
            with _reading(path) as descriptor:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    return None
                found = _mapped(descriptor, status.st_size, needed.nbytes)
        except OSError as error:
            if is_shortage(error):
                raise
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if found is None or (self._checked.get(name) != stamp and not _is_sound(name, found)):
            with suppress(OSError):
                path.unlink()
            return None
        if len(self._checked) >= CHECKED:
            self._checked.clear()
        self._checked[name] = stamp
        with suppress(OSError):  # Removed meanwhile, or another user's.
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return found[HEAD.size :]

    def add(self, needed: Needed, make: Callable[[], Raw]) -> None:
        """Has the whole made, unless it is here or another process makes it: that is waited for.

        Raises OSError when there is no room for it, if possible before it is made.
        """
        name = _name(needed)
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / f".{name[:2]}.lock", exclusive=True):
            if self.open(needed) is not None:
                return
            with ExitStack() as stack:
                descriptor = self._begin(name, HEAD.size + needed.nbytes, stack)
                made = make()
                _write(descriptor, HEAD.pack(MAGIC, _digest(name, made), made.nbytes))
                _write(descriptor, made.data)

    def size_bytes(self) -> int:
        """What all files count, those too that are being written."""
        return sum(_counted(status) for _, status in self._files())

    def _begin(self, name: str, nbytes: int, stack: ExitStack) -> int:
        """A descriptor of a new file with room for `nbytes`, there when `stack` ends well."""
        with locked(self.root / ".lock", exclusive=True):
            self._make_room(nbytes)
            _put_aside(self.root / name)
            descriptor = stack.enter_context(replacing(self.root / name))
            os.posix_fallocate(descriptor, 0, nbytes)
        return descriptor

    def _make_room(self, nbytes: int) -> None:
        """Removes what is longest unused, until there is room; raises OSError if there is none.

        What was used by a clock that was ahead goes first: it would outlast all that is used.
        """
        excess = max(nbytes, LEAST_BYTES) - self._max_bytes
        removable: list[tuple[int, int, Path]] = []
        latest_ns = time.time_ns() + AHEAD_NS
        for path, status in list(self._files()):
            if is_left(path.name):
                remove_left(path)
                excess += _counted(status) if path.exists() else 0
            else:
                excess += _counted(status)
                used_ns = max(status.st_atime_ns, status.st_mtime_ns)
                removable.append((used_ns if used_ns <= latest_ns else 0, _counted(status), path))
        if excess > sum(size for _, size, _ in removable):
            raise OSError(errno.ENOSPC, f"the spool holds at most {self._max_bytes} bytes")
        for _, size, path in sorted(removable):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The wholes here, and those that are being written; nothing that is no file."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                if not entry.name.endswith(".lock"):
                    with suppress(OSError):
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode):
                            yield Path(entry.path), status


def _name(needed: Needed) -> str:
    """The SHA-256 of everything that its bytes depend on."""
    of = [STREAM, needed.kind, *astuple(needed)]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def _put_aside(path: Path) -> None:
    """Renames what has a whole's name and is no file: a directory or a pipe, of nobody here.

    It is not removed, since only files are known to be the spool's. Raises OSError.
    """
    if os.path.lexists(path) and not path.is_file():
        path.rename(temporary_path(path))


def _digest(name: str, content: Raw) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(content.data)
    return digest.digest()


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _mapped(descriptor: int, size_bytes: int, nbytes: int) -> Raw | None:
    """A file of `size_bytes`, all of it; None when it has not the length of a whole of `nbytes`.

    Mapped to be written to, which changes no file: torch warns of arrays that cannot be.
    """
    if size_bytes != HEAD.size + nbytes:
        return None
    return np.frombuffer(mmap.mmap(descriptor, size_bytes, access=mmap.ACCESS_COPY), np.uint8)


def _is_sound(name: str, file: Raw) -> bool:
    content = file[HEAD.size :]
    head = HEAD.pack(MAGIC, _digest(name, content), content.nbytes)
    return file[: HEAD.size].tobytes() == head


def _counted(status: os.stat_result) -> int:
    return max(status.st_size, 512 * status.st_blocks, LEAST_BYTES)


def _write(descriptor: int, content: bytes | memoryview) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
