"""The plan store: a directory in which every file appears whole or not at all.

    plans/<ab>/<id>.json          a line of the canonical plan, whose SHA-256 is the id, one
                                  that describes it, and a seal
    blobs/<ab>/<sha256>           literal bytes that plans name
    materialized/<ab>/<id>.bin    tensors of a platform-bound plan, as they were drawn, and the
                                  digests of their blocks
    statistics/<ab>/<id>.json     a cache: a line of JSON and a seal
    digests/<ab>/<id>.json        a cache, likewise
    spool/                        tensors that were computed as a whole: `wholes.spool`

What a plan names is written before the plan, so a plan that is there is complete. Every file
says by its name or by its seal (`seals`) whether it is what was written: what is not,
is never given out, and written again when somebody puts it.
Several processes may share the directory. A file's modification time is when it was
stored; its access time is set when it is used, whatever the mount options are.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain
from pathlib import Path

from seedpoint.service.concurrency.cache import LRU
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
SPOOL = "spool"  # In it the wholes are kept, beside all this (`wholes.spool`).
UNKEPT_BYTES = 16 << 20
PROBE_BYTES = 8192  # More than filesystems keep beside a file's name.
POST_AGAIN = "POST the checkpoint's spec again, or restore the file from a backup"
_ID = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the store: of which kind, of which plan or content, and when it was last used.

    `nbytes` is what it takes on disk.
    """

    kind: str
    name: str
    nbytes: int
    used_ns: int


class Store:
    """The plan store in the directory `root`. Thread-safe."""

    def __init__(self, root: Path, *, clock: Clock = system) -> None:
        self.root = root
        self._clock = clock
        # What could not be kept on disk, for whoever comes back to ask for it.
        self._unkept: LRU[tuple[str, str], bytes] = LRU(UNKEPT_BYTES, len)
        self._unkept_lock = threading.Lock()

    def check_writable(self) -> None:
        """Writes a little, durably. Raises StoreFull, StoreUnwritable."""
        with storing(self.root):
            atomic_files.check_writable(self.root, PROBE_BYTES)

    def check_usable(self) -> None:
        """As `check_writable`, but one that is full, or has plans, is left at that.

        What is in it can be served. Raises StoreUnwritable.
        """
        try:
            self.check_writable()
        except StoreFull:  # It is logged.
            pass
        except StoreUnwritable:
            if not can_list(self.root / PLANS):
                raise
            log.warning("the store cannot be written; what is in it is served")

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Stores a plan's record and the literals it names; whether it is new.

        Of what is there already, what is damaged is written again. Raises StoreFull,
        StoreUnwritable.
        """
        with storing(self.root), self._kept():
            for digest, blob in blobs.items():
                if not (self._use("blobs", digest) and self._found("blobs", digest) is not None):
                    write_atomically(self._path("blobs", digest), [blob])
            known = self._use("plans", id_)
            if not known or self._found("plans", id_) is None:
                write_atomically(self._path("plans", id_), [sealed(plan)])
        return not known

    def use(self, id_: str, used_ns: int | None = None) -> bool:
        """Notes that the plan and its tensors are in use; False when it is not there.

        They are used now, or were at `used_ns` by the wall clock.
        """
        if not _ID.fullmatch(id_):
            return False
        with self._kept():
            self._use("materialized", id_, used_ns)
            return self._use("plans", id_, used_ns)

    def has_plan(self, id_: str) -> bool:
        return _ID.fullmatch(id_) is not None and self._path("plans", id_).exists()

    def has_intact_plan(self, id_: str) -> bool:
        """Whether `plan` would give it: it is read. Raises StoreUnreadable."""
        return _ID.fullmatch(id_) is not None and self._found("plans", id_) is not None

    def plan(self, id_: str) -> bytes:
        """The plan's record.

        Raises NotFound, StoreUnreadable, and CorruptStore rather than give another plan.
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
        """The literal bytes with this SHA-256. Raises CorruptStore, StoreUnreadable."""
        try:
            return self._intact("blobs", digest)
        except (Damaged, FileNotFoundError) as error:
            raise self._corrupt("blobs", digest, error, POST_AGAIN) from error

    def beginning(self, digits: str) -> list[str]:
        """The ids of the plans that begin with these hexadecimal digits, two or more of them.

        Raises StoreUnreadable.
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
        """Up to `limit` issued checkpoints, newest first, from `after` on, and the next cursor.

        Looks at every plan's directory entry: about 3 ms for a thousand. Raises
        StoreUnreadable.
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

    # --- what belongs to a plan --------------------------------------------------

    def put_materialized(self, id_: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Stores a platform-bound plan's tensors. Raises StoreFull, StoreUnwritable."""
        with storing(self.root):
            path = self._path("materialized", id_)
            write_atomically(path, with_block_digests(pieces, id_))

    def materialized(self, id_: str, size_bytes: int) -> BlockFile | None:
        """A platform-bound plan's tensors, which it says are so long; None when they are gone.

        Raises Damaged when that is seen already, and StoreUnreadable.
        """
        path = self._path("materialized", id_)
        with reading(self.root, path), suppress(FileNotFoundError):
            return BlockFile(path, id_, size_bytes)
        return None

    def read_materialized(self, file: BlockFile, start: int, stop: int) -> bytes | memoryview:
        """Bytes [start, stop) of such tensors.

        Raises FileNotFoundError, Damaged, StoreUnreadable.
        """
        with reading(self.root, file.path):
            return file.read(start, stop)

    def materialized_version(self, id_: str) -> tuple[int, int] | None:
        """Another whenever the tensors are stored; None when they are gone.

        Raises StoreUnreadable.
        """
        path = self._path("materialized", id_)
        with reading(self.root, path), suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def corrupt_materialized(self, id_: str, error: Exception, remedy: str) -> CorruptStore:
        """What to raise when the tensors are damaged and cannot be made again."""
        return self._corrupt("materialized", id_, error, remedy)

    def statistics(self, id_: str) -> bytes | None:
        """The cached statistics, JSON; None when there are none that can be read."""
        return self._cached("statistics", id_)

    def put_statistics(self, id_: str, document: bytes) -> None:
        """Keeps them, in memory for a while when it cannot: that is logged."""
        self._cache("statistics", id_, document)

    def digests(self, id_: str) -> bytes | None:
        """The cached digests of its representations, JSON; None when none can be read."""
        return self._cached("digests", id_)

    def put_digests(self, id_: str, document: bytes) -> None:
        """Keeps them, in memory for a while when it cannot: that is logged."""
        self._cache("digests", id_, document)

    # --- what is used and what may go ------------------------------------------------

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Every file of these kinds, of all unless some are given, as it is now."""
        for kind in kinds or SUFFIXES:
            for file in self._files(kind):
                name, _, _ = file.name.partition(".")
                with suppress(FileNotFoundError):
                    if _ID.fullmatch(name):
                        status = file.stat()
                        nbytes = max(status.st_size, 512 * status.st_blocks)
                        yield Entry(kind, name, nbytes, _used_ns(status))

    def remove(self, entry: Entry) -> bool:
        """Removes a file, of a plan all that belongs to it; whether it did.

        It does not when the file has been used since `entry`.
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
        """Removes what was last written to before that time, and that nobody will finish."""
        files = (file for kind in SUFFIXES for file in self._files(kind))
        for file in chain(_scan([self.root, self.root / SPOOL]), files):
            with suppress(FileNotFoundError):
                if is_left(file.name) and file.stat().st_mtime_ns < before_ns:
                    atomic_files.remove_left(Path(file.path))

    def blobs_of(self, id_: str) -> set[str]:
        """The SHA-256 of whatever a plan names; empty when it is not there."""
        with suppress(FileNotFoundError):
            record = self._path("plans", id_).read_bytes()
            return {found.decode() for found in _NAMED.findall(record)}
        return set()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Inside, nothing is removed that has been noted to be in use. Raises StoreUnreadable."""
        lock = self.root / ".lock"
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(lock, exclusive=False))
            except OSError as error:  # Where there are no locks, nothing can be removed either.
                if is_shortage(error):
                    raise unreadable(self.root, lock, error) from error
            yield

    def _use(self, kind: str, name: str, used_ns: int | None = None) -> bool:
        """Sets the access time; False when there is no such file.

        Always a later one, also when the wall clock was set back meanwhile: by that `remove`
        knows of the use.
        """
        path = self._path(kind, name)
        wall_ns = self._clock().wall_ns if used_ns is None else used_ns
        try:
            status = path.stat()
            later_ns = max(wall_ns, _used_ns(status) + 1)
            os.utime(path, ns=(later_ns, status.st_mtime_ns))
        except FileNotFoundError:
            return False
        except OSError:  # Another user's, whose service shares the store; or not to be written.
            pass
        return True

    def _cached(self, kind: str, id_: str) -> bytes | None:
        """Its content; None when there is none that can be read, since it can be made again.

        Raises StoreUnreadable where that would only be for want of a descriptor or memory.
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
                self._unkept.put((kind, id_), document)

    def _intact(self, kind: str, name: str) -> bytes:
        """The content of a short file. Raises FileNotFoundError, Damaged, StoreUnreadable."""
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
        """As `_intact`; None for what may be written again, which is always right.

        Raises StoreUnreadable for want of a descriptor or memory: then nothing is known.
        """
        try:
            return self._intact(kind, name)
        except FileNotFoundError:
            return None
        except Damaged as error:
            log.warning("a file is damaged", kind=kind, name=name, reason=str(error))
            return None
        except StoreUnreadable as error:  # It is logged.
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
