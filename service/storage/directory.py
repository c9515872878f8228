"""Storage in a directory: a file for each object, at `store.key`, written atomically.

Several processes may share the directory. A file's modification time is when it was stored; its
access time is set when it is used, whatever the mount options are. The lock file `.lock` keeps
the note of a use and a removal apart.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.storage import atomic_files
from seedpoint.service.storage.atomic_files import (
    is_left,
    locked,
    make_folder,
    remove_left,
    replacing,
    temporary_path,
    write_all,
)
from seedpoint.service.storage.store import (
    KINDS,
    PROBE_BYTES,
    SUFFIXES,
    Damaged,
    Entry,
    Kind,
    Version,
    Write,
    key,
)

# Something other than a file has the name: a directory, a socket or a loop of links.
_NO_FILE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_NAME = re.compile(r"[0-9a-f]{64}")
_OLD_SPOOL = "spool"  # Folder of whole tensors in version 0.1, which had a format of their own.


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """Store in the directory `root`, which is made when first written to."""

    root: Path

    def get(self, kind: Kind, name: str) -> bytes:
        with self._reading(kind, name) as (descriptor, status):
            return _pread(descriptor, 0, status.st_size)

    def get_range(self, kind: Kind, name: str, start: int, stop: int) -> bytes:
        with self._reading(kind, name) as (descriptor, _):
            return _pread(descriptor, start, stop)

    def map(self, kind: Kind, name: str) -> tuple[Version, memoryview]:
        with self._reading(kind, name) as (descriptor, status):
            if not status.st_size:  # An empty file cannot be mapped.
                return _version(status), memoryview(bytearray())
            mapped = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_COPY)
            return _version(status), memoryview(mapped)

    def stat(self, kind: Kind, name: str) -> Entry | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return _entry(kind, name, self._path(kind, name).stat())
        return None

    def entries(self, kind: Kind, prefix: str = "") -> Iterator[Entry]:
        for file in self._files(kind, prefix[:2]):
            name, suffix = file.name[:64], file.name[64:]
            if not (name.startswith(prefix) and _NAME.fullmatch(name) and suffix == SUFFIXES[kind]):
                continue
            if (status := _status(file)) is not None:
                yield _entry(kind, name, status)

    @contextmanager
    def writing(
        self, kind: Kind, name: str, *, create: bool = False, size_bytes: int = 0
    ) -> Iterator[Write]:
        path = self._path(kind, name)
        make_folder(path.parent)
        _put_aside(path)
        with replacing(path, create=create) as descriptor:
            if size_bytes:
                os.posix_fallocate(descriptor, 0, size_bytes)
            yield partial(write_all, descriptor)

    def use(self, kind: Kind, name: str, used_ns: int) -> bool:
        path = self._path(kind, name)
        with self._using():
            try:
                status = path.stat()
                later_ns = max(used_ns, _used_ns(status) + 1)
                os.utime(path, ns=(later_ns, status.st_mtime_ns))
            except FileNotFoundError:
                return False
            except OSError:  # A file of another user who shares the store, or a read-only one.
                pass
        return True

    def delete(self, kind: Kind, name: str, unused_since_ns: int | None = None) -> bool:
        path = self._path(kind, name)
        is_free = unused_since_ns is None
        lock = nullcontext() if is_free else locked(self.root / ".lock", exclusive=True)
        with suppress(FileNotFoundError), lock:
            if unused_since_ns is None or _used_ns(path.stat()) <= unused_since_ns:
                path.unlink()
                return True
        return False

    @contextmanager
    def lock(self, kind: Kind, name: str = "") -> Iterator[None]:
        """Hold a lock file; names that begin alike share one. Raises OSError without locks."""
        folder = self.root / kind
        make_folder(folder)
        with locked(folder / f".{name[:2]}.lock", exclusive=True):
            yield

    def unfinished_bytes(self, kind: Kind) -> int:
        nbytes = 0
        for file in list(self._files(kind)):
            if is_left(file.name):
                remove_left(Path(file.path))
                with suppress(FileNotFoundError):  # Else its writer is still at it.
                    nbytes += _occupied(Path(file.path).lstat())
        return nbytes

    def discard_unfinished(self, before_ns: int) -> None:
        files = chain.from_iterable(self._files(kind) for kind in KINDS)
        for file in chain(_scan([self.root]), files):
            with suppress(FileNotFoundError):
                if is_left(file.name) and file.stat(follow_symlinks=False).st_mtime_ns < before_ns:
                    remove_left(Path(file.path))
        self._remove_old_spool()

    def check_writable(self) -> None:
        atomic_files.check_writable(self.root, PROBE_BYTES)

    def _remove_old_spool(self) -> None:
        """Remove the whole tensors that version 0.1 kept; what else is in their folder stays."""
        folder = self.root / _OLD_SPOOL
        for file in _scan([folder]):
            is_own = _NAME.fullmatch(file.name) or file.name.endswith((".lock", ".tmp"))
            if is_own and file.is_file(follow_symlinks=False):
                Path(file.path).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keep removals out of the block. Raises OSError if descriptors or memory ran out."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.root / ".lock", exclusive=False))
            except OSError as error:  # Without locks, nothing can be removed either.
                if is_shortage(error):
                    raise
            yield

    @contextmanager
    def _reading(self, kind: Kind, name: str) -> Iterator[tuple[int, os.stat_result]]:
        try:
            # Without O_NONBLOCK, opening a pipe would wait for a writer.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._path(kind, name), flags)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise Damaged(f"it is not a file: {error.strerror}") from error
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged("it is not a file")
            yield descriptor, status
        finally:
            os.close(descriptor)

    def _files(self, kind: Kind, digits: str = "") -> Iterator[os.DirEntry[str]]:
        """Yield what is in the folders of a kind that begin with these digits."""
        folders = [self.root / kind / digits] if len(digits) == 2 else self._folders(kind)
        return _scan(folders)

    def _folders(self, kind: Kind) -> Iterator[str]:
        return (entry.path for entry in _scan([self.root / kind]))

    def _path(self, kind: Kind, name: str) -> Path:
        return self.root / key(kind, name)


def _entry(kind: Kind, name: str, status: os.stat_result) -> Entry:
    return Entry(
        *(kind, name, _occupied(status), _used_ns(status), status.st_mtime_ns, _version(status)),
        size_bytes=status.st_size,
    )


def _used_ns(status: os.stat_result) -> int:
    return max(status.st_atime_ns, status.st_mtime_ns)


def _occupied(status: os.stat_result) -> int:
    return max(status.st_size, 512 * status.st_blocks)


def _version(status: os.stat_result) -> Version:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _status(file: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of a file; None if it has gone or is something else."""
    try:
        status = file.stat()
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in _NO_FILE:
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None


def _put_aside(path: Path) -> None:
    """Rename a directory, a pipe or a dangling link that has the name of a file.

    It is not removed, since only files are known to be the store's. Raises: OSError.
    """
    if os.path.lexists(path) and not path.is_file():
        path.rename(temporary_path(path))


def _pread(descriptor: int, start: int, stop: int) -> bytes:
    """Return bytes [start, stop) of a file, fewer if it ends before."""
    parts: list[bytes] = []
    while start < stop and (part := os.pread(descriptor, stop - start, start)):
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _scan(folders: Iterable[os.PathLike[str] | str]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as it:
            yield from it
