"""The plan store: a directory whose files are written atomically.

    plans/<ab>/<id>.json          a line of the canonical plan, whose SHA-256 is the id, a line
                                  that describes it, and a line with the file's SHA-256
    blobs/<ab>/<sha256>           literal bytes that plans name
    materialized/<ab>/<id>.bin    tensors of a platform-bound plan, as they were drawn, and the
                                  digests of their blocks
    statistics/<ab>/<id>.json     a cache: a line of JSON and a line with its SHA-256
    digests/<ab>/<id>.json        a cache in the same form
    spool/                        tensors that were computed whole: `storage.spool`

The data that a plan names are written before the plan, so a stored plan is complete. A file's
name or its checksum (`checksums`) shows whether it is intact; a damaged file is never returned,
and is written again by the next put.
Several processes may share the directory. A file's modification time is when it was stored; its
access time is set when it is used, whatever the mount options are.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain
from pathlib import Path

from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.errors import (
    CorruptStore,
    NotFound,
    StoreFull,
    StoreUnreadable,
    StoreUnwritable,
)
from seedpoint.service.logger import get_logger
from seedpoint.service.storage import atomic_files
from seedpoint.service.storage.atomic_files import can_list, is_left, locked, write_atomically
from seedpoint.service.storage.checkpoint_list import Issued
from seedpoint.service.storage.checksums import (
    BlockFile,
    Damaged,
    check_digest,
    sealed,
    unsealed,
    with_block_digests,
)
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.faults import reading, storing, unreadable

log = get_logger("seedpoint.store")

PLANS = "plans"
SUFFIXES = {
    "plans": ".json",
    "blobs": "",
    "materialized": ".bin",
    "statistics": ".json",
    "digests": ".json",
}
SPOOL = "spool"  # Folder of tensors that were computed whole (`storage.spool`).
PROBE_BYTES = 8192  # More than filesystems store inline with a file's name.
POST_AGAIN = "POST the checkpoint's spec again, or restore the file from a backup"
_ID = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the store: its kind, the id or digest that names it, and its last use.

    `nbytes` is its size on disk.
    """

    kind: str
    name: str
    nbytes: int
    used_ns: int


class Store:
    """Plan store in the directory `root`. Thread-safe.

    `unkept` holds documents that could not be written to disk, for later requests.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock = system,
        unkept: MutableMapping[tuple[str, str], bytes] | None = None,
    ) -> None:
        self.root = root
        self._clock = clock
        self._unkept = {} if unkept is None else unkept
        self._unkept_lock = threading.Lock()

    def check_writable(self) -> None:
        """Write a small file durably, and remove it. Raises StoreFull, StoreUnwritable."""
        with storing(self.root):
            atomic_files.check_writable(self.root, PROBE_BYTES)

    def check_usable(self) -> None:
        """Check that the store can be written, or is full, or has plans.

        A full store, and one that has plans, can still be served. Raises: StoreUnwritable.
        """
        try:
            self.check_writable()
        except StoreFull:  # Already logged.
            pass
        except StoreUnwritable:
            if not can_list(self.root / PLANS):
                raise
            log.warning("the store cannot be written; what is in it is served")

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Store a plan's record and the literals it names; return whether the plan is new.

        Damaged files of a known plan are written again. Raises: StoreFull, StoreUnwritable.
        """
        with storing(self.root), self._kept():
            self._use("materialized", id_)  # Otherwise a sweep that saw no plan may remove it.
            for digest, blob in blobs.items():
                if not (self._use("blobs", digest) and self._found("blobs", digest) is not None):
                    write_atomically(self._path("blobs", digest), [blob])
            known = self._use("plans", id_)
            if not known or self._found("plans", id_) is None:
                write_atomically(self._path("plans", id_), [sealed(plan)])
        return not known

    def use(self, id_: str, used_ns: int | None = None) -> bool:
        """Note a use of the plan and its tensors; return False if the plan does not exist.

        The time of the use is now, or `used_ns` by the wall clock.
        """
        if not _ID.fullmatch(id_):
            return False
        with self._kept():
            self._use("materialized", id_, used_ns)
            return self._use("plans", id_, used_ns)

    def has_plan(self, id_: str) -> bool:
        return _ID.fullmatch(id_) is not None and self._path("plans", id_).exists()

    def has_intact_plan(self, id_: str) -> bool:
        """Return whether the plan exists and is intact, by reading it. Raises StoreUnreadable."""
        return _ID.fullmatch(id_) is not None and self._found("plans", id_) is not None

    def plan(self, id_: str) -> bytes:
        """Return the plan's record.

        Raises: NotFound; StoreUnreadable; CorruptStore if it is damaged.
        """
        if not _ID.fullmatch(id_):
            raise NotFound(f"{id_[:80]!r} is not a checkpoint id (64 hexadecimal digits)")
        try:
            return self._intact("plans", id_)
        except FileNotFoundError:
            raise NotFound(f"no checkpoint {id_} has been issued here") from None
        except Damaged as error:
            raise self._corrupt("plans", id_, error, POST_AGAIN) from error

    def blob(self, digest: str) -> bytes:
        """Return the literal bytes with this SHA-256. Raises CorruptStore, StoreUnreadable."""
        try:
            return self._intact("blobs", digest)
        except (Damaged, FileNotFoundError) as error:
            raise self._corrupt("blobs", digest, error, POST_AGAIN) from error

    def beginning(self, digits: str) -> list[str]:
        """Return the ids of the plans that begin with these hexadecimal digits, at least two.

        Raises: StoreUnreadable.
        """
        folder = self.root / "plans" / digits[:2]
        with self._listing(folder):
            names = [entry.name.partition(".") for entry in _scan([folder])]
        return [
            name
            for name, dot, _ in names
            if dot and name.startswith(digits) and _ID.fullmatch(name)
        ]

    def page(self, limit: int, after: str | None) -> tuple[list[Issued], str | None]:
        """Return up to `limit` issued checkpoints, newest first, and the cursor of the next page.

        The page begins after the cursor `after`. Every plan's directory entry is read: about 3 ms
        for a thousand. Raises: StoreUnreadable.
        """
        bound = Issued.at(after) if after else None
        with self._listing(self.root / "plans"):
            older = (item for item in self._issued() if bound is None or item < bound)
            found = nlargest(limit + 1, older)
        return found[:limit], found[limit - 1].cursor if len(found) > limit else None

    @contextmanager
    def _listing(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unreadable(self.root, folder, error) from error

    def _issued(self) -> Iterator[Issued]:
        for entry in self._files("plans"):
            name, dot, _ = entry.name.partition(".")
            if dot and _ID.fullmatch(name):
                with suppress(FileNotFoundError):
                    yield Issued(entry.stat().st_mtime_ns, name)

    # --- files of a plan ---------------------------------------------------------

    def put_materialized(self, id_: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Store a platform-bound plan's tensors. Raises StoreFull, StoreUnwritable."""
        with storing(self.root):
            path = self._path("materialized", id_)
            write_atomically(path, with_block_digests(pieces, id_))

    def materialized(self, id_: str, size_bytes: int) -> BlockFile | None:
        """Return a platform-bound plan's tensors, `size_bytes` in total; None if they are gone.

        Raises: Damaged if that shows without reading the content; StoreUnreadable.
        """
        path = self._path("materialized", id_)
        with reading(self.root, path), suppress(FileNotFoundError):
            return BlockFile(path, id_, size_bytes)
        return None

    def read_materialized(self, file: BlockFile, start: int, stop: int) -> bytes | memoryview:
        """Return bytes [start, stop) of a platform-bound plan's tensors.

        Raises: FileNotFoundError, Damaged, StoreUnreadable.
        """
        with reading(self.root, file.path):
            return file.read(start, stop)

    def materialized_version(self, id_: str) -> tuple[int, int] | None:
        """Return a value that changes whenever the tensors are stored; None if they are gone.

        Raises: StoreUnreadable.
        """
        path = self._path("materialized", id_)
        with reading(self.root, path), suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def corrupt_materialized(self, id_: str, error: Exception, remedy: str) -> CorruptStore:
        """Return the error to raise for damaged tensors that cannot be made again."""
        return self._corrupt("materialized", id_, error, remedy)

    def statistics(self, id_: str) -> bytes | None:
        """Return the cached statistics as JSON; None if none can be read."""
        return self._cached("statistics", id_)

    def put_statistics(self, id_: str, document: bytes) -> None:
        """Cache the statistics; if the write fails, log it and keep them in memory for a while."""
        self._cache("statistics", id_, document)

    def digests(self, id_: str) -> bytes | None:
        """Return the cached digests of representations as JSON; None if none can be read."""
        return self._cached("digests", id_)

    def put_digests(self, id_: str, document: bytes) -> None:
        """Cache the digests; if the write fails, log it and keep them in memory for a while."""
        self._cache("digests", id_, document)

    # --- use and removal -------------------------------------------------------------

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Yield every file of these kinds (all by default) with its present size and last use."""
        for kind in kinds or SUFFIXES:
            for file in self._files(kind):
                name, _, _ = file.name.partition(".")
                with suppress(FileNotFoundError):
                    if _ID.fullmatch(name):
                        status = file.stat()
                        nbytes = max(status.st_size, 512 * status.st_blocks)
                        yield Entry(kind, name, nbytes, _used_ns(status))

    def remove(self, entry: Entry) -> bool:
        """Remove a file, or all files of a plan but its blobs; return whether it did.

        A file that was used after `entry` was made stays.
        """
        kinds = [kind for kind in SUFFIXES if kind != "blobs"]
        with locked(self.root / ".lock", exclusive=True):
            try:
                if _used_ns(self._path(entry.kind, entry.name).stat()) > entry.used_ns:
                    return False
            except FileNotFoundError:
                return False
            for kind in kinds if entry.kind == "plans" else (entry.kind,):
                self._path(kind, entry.name).unlink(missing_ok=True)
        return True

    def remove_left(self, before_ns: int) -> None:
        """Remove abandoned temporary files that were last written before `before_ns`."""
        files = (file for kind in SUFFIXES for file in self._files(kind))
        for file in chain(_scan([self.root, self.root / SPOOL]), files):
            with suppress(FileNotFoundError):
                if is_left(file.name) and file.stat().st_mtime_ns < before_ns:
                    atomic_files.remove_left(Path(file.path))

    def blobs_of(self, id_: str) -> set[str]:
        """Return the SHA-256 of every blob that a plan names; empty if the plan is gone."""
        with suppress(FileNotFoundError):
            record = self._path("plans", id_).read_bytes()
            return {found.decode() for found in _NAMED.findall(record)}
        return set()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep files whose use is noted from removal inside the block. Raises StoreUnreadable."""
        lock = self.root / ".lock"
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(lock, exclusive=False))
            except OSError as error:  # Without locks, nothing can be removed either.
                if is_shortage(error):
                    raise unreadable(self.root, lock, error) from error
            yield

    def _use(self, kind: str, name: str, used_ns: int | None = None) -> bool:
        """Set the access time of a file; return False if it does not exist.

        The new time is always later, even if the wall clock was set back: `remove` recognizes
        the use by that.
        """
        path = self._path(kind, name)
        wall_ns = self._clock().wall_ns if used_ns is None else used_ns
        try:
            status = path.stat()
            later_ns = max(wall_ns, _used_ns(status) + 1)
            os.utime(path, ns=(later_ns, status.st_mtime_ns))
        except FileNotFoundError:
            return False
        except OSError:  # A file of another user who shares the store, or a read-only one.
            pass
        return True

    def _cached(self, kind: str, id_: str) -> bytes | None:
        """Return a cached document; None if none can be read, since it can be made again.

        Raises: StoreUnreadable if only a descriptor or memory is lacking.
        """
        if (document := self._found(kind, id_)) is None:
            with self._unkept_lock:
                return self._unkept.get((kind, id_))
        self._use(kind, id_)
        return document

    def _cache(self, kind: str, id_: str, document: bytes) -> None:
        try:
            write_atomically(self._path(kind, id_), [sealed(document)])
        except OSError as error:
            log.warning("a file could not be cached", kind=kind, id=id_, reason=str(error))
            with self._unkept_lock:
                self._unkept[kind, id_] = document

    def _intact(self, kind: str, name: str) -> bytes:
        """Return a short file's content. Raises FileNotFoundError, Damaged, StoreUnreadable."""
        path = self._path(kind, name)
        with reading(self.root, path):
            content = path.read_bytes()
        if kind == "blobs":
            check_digest(content, name)
            return content
        content = unsealed(content)
        if kind == "plans":
            check_digest(content.partition(b"\n")[0], name)
        return content

    def _found(self, kind: str, name: str) -> bytes | None:
        """Return the content of a short file; None if it is to be written, which is always safe.

        Raises: StoreUnreadable if a descriptor or memory is lacking, so that its state is unknown.
        """
        try:
            return self._intact(kind, name)
        except FileNotFoundError:
            return None
        except Damaged as error:
            log.warning("a file is damaged", kind=kind, name=name, reason=str(error))
            return None
        except StoreUnreadable as error:  # Already logged.
            if error.__cause__ is not None and is_shortage(error.__cause__):
                raise
            return None

    def _corrupt(self, kind: str, name: str, error: Exception, remedy: str) -> CorruptStore:
        log.error("a file is damaged", kind=kind, name=name, reason=str(error))
        file = self._path(kind, name).relative_to(self.root)
        reason = error.strerror if isinstance(error, OSError) else error
        return CorruptStore(f"{file} in the store is damaged ({reason}); {remedy}")

    def _files(self, kind: str) -> Iterator[os.DirEntry[str]]:
        yield from _scan(folder.path for folder in _scan([self.root / kind]))

    def _path(self, kind: str, name: str) -> Path:
        return self.root / kind / name[:2] / (name + SUFFIXES[kind])


def _used_ns(status: os.stat_result) -> int:
    return max(status.st_atime_ns, status.st_mtime_ns)


def _scan(folders: Iterable[os.PathLike[str] | str]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as it:
            yield from it
