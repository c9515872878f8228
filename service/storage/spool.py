"""The spool: whole tensors on disk, up to a size limit; the longest unused is removed first.

The spool is a directory of files, each written atomically and named by the SHA-256 of everything
that its content depends on. A file is a head (MAGIC, SHA-256 of name and content, length) and the
content. It is memory-mapped, so that a process keeps an open file after its removal. Several
processes may share the directory; one of them makes each whole tensor.
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
HEAD = struct.Struct("<16s32sQ8x")  # 64 bytes, so that the mapped content is aligned.
LEAST_BYTES = 1 << 16  # Least size that a file counts, which limits their number.
AHEAD_NS = 60 * 10**9  # Tolerated difference between the clocks of processes.
CHECKED = 10_000  # Files remembered as sound; beyond that all are checked anew.

Stamp = tuple[int, int, int]  # Inode, modification time (ns), size (bytes).


class Spool:
    """Spool in the directory `root`, of at most `max_bytes`. Thread-safe.

    A file's content is checked when it is first opened; a wrong file is removed.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._checked: dict[str, Stamp] = {}

    def open(self, needed: Needed) -> Raw | None:
        """Return the whole tensor, mapped, and mark it as the latest used; None if it is absent.

        An unreadable file counts as absent: making it again is always safe. Raises: OSError if a
        descriptor or memory is lacking.
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
        """Make the whole tensor, unless it is present; wait for another process that makes it.

        Raises: OSError if there is no room for it, if possible before it is made.
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
        """Return the counted size of all files, including those being written."""
        return sum(_counted(status) for _, status in self._files())

    def _begin(self, name: str, nbytes: int, stack: ExitStack) -> int:
        """Return a descriptor of a new file with room for `nbytes`; `stack` completes the file."""
        with locked(self.root / ".lock", exclusive=True):
            self._make_room(nbytes)
            _put_aside(self.root / name)
            descriptor = stack.enter_context(replacing(self.root / name))
            os.posix_fallocate(descriptor, 0, nbytes)
        return descriptor

    def _make_room(self, nbytes: int) -> None:
        """Remove the longest unused files until `nbytes` fit. Raises OSError if they cannot fit.

        Files with a time of use in the future, from a clock that was ahead, are removed first:
        they would outlast files that are in use.
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
        """Yield the regular files here, finished or being written, except locks."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                if not entry.name.endswith(".lock"):
                    with suppress(OSError):
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode):
                            yield Path(entry.path), status


def _name(needed: Needed) -> str:
    """Return the SHA-256 of everything that the tensor's bytes depend on."""
    of = [STREAM, needed.kind, *astuple(needed)]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def _put_aside(path: Path) -> None:
    """Rename a directory or pipe that has the name of a spool file.

    It is not removed, since only files are known to be the spool's. Raises: OSError.
    """
    if os.path.lexists(path) and not path.is_file():
        path.rename(temporary_path(path))


def _digest(name: str, content: Raw) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(content.data)
    return digest.digest()


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _mapped(descriptor: int, size_bytes: int, nbytes: int) -> Raw | None:
    """Return a mapped file of `size_bytes`; None if a tensor of `nbytes` has another file size.

    The mapping is writable, but copy-on-write: torch warns of read-only arrays.
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
