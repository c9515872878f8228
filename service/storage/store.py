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

import base64
import binascii
import errno
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from itertools import chain
from pathlib import Path

import structlog

from service.errors import (
    CorruptStore,
    InvalidParameter,
    NotFound,
    StoreFull,
    StoreUnwritable,
)
from service.lru import LRU
from service.storage import durable
from service.storage.clock import Clock, system
from service.storage.durable import is_left, locked, write_atomically
from service.storage.seals import (
    BlockFile,
    Damaged,
    check_digest,
    sealed,
    unsealed,
    with_block_digests,
)

log = structlog.get_logger("seedpoint.store")

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
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
POST_AGAIN = "POST the checkpoint's spec again, or restore the file from a backup"
_ID = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True, order=True)
class Issued:
    """One issued checkpoint: when its plan was stored, in nanoseconds since the epoch."""

    created_ns: int
    id: str

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_ns / 1e9, UTC)

    @property
    def cursor(self) -> str:
        """Where a page that ends with this one goes on; opaque to clients."""
        return base64.urlsafe_b64encode(f"{self.created_ns}:{self.id}".encode()).decode()

    @classmethod
    def at(cls, cursor: str) -> Issued:
        """The inverse of `cursor`. Raises InvalidParameter."""
        try:
            created, id_ = base64.urlsafe_b64decode(cursor.encode()).decode("ascii").split(":")
            return cls(int(created), id_)
        except (ValueError, binascii.Error):
            message = f"{cursor!r} is no cursor that was given out"
            raise InvalidParameter(message, path="query.cursor") from None


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
        with _storing():
            durable.check_writable(self.root, PROBE_BYTES)

    def check_usable(self) -> None:
        """As `check_writable`, but one that is full can be read, and is left at that.

        Raises StoreUnwritable.
        """
        with suppress(StoreFull):  # It is logged.
            self.check_writable()

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Stores a plan's record and the literals it names; whether it is new.

        Of what is there already, what is damaged is written again. Raises StoreFull,
        StoreUnwritable.
        """
        with _storing(), self._kept():
            for digest, blob in blobs.items():
                if not (self._use("blobs", digest) and self._is_intact("blobs", digest)):
                    write_atomically(self._path("blobs", digest), [blob])
            known = self._use("plans", id_)
            if not (known and self._is_intact("plans", id_)):
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
        """Whether `plan` would give it: it is read."""
        return self.has_plan(id_) and self._is_intact("plans", id_)

    def plan(self, id_: str) -> bytes:
        """The plan's record. Raises NotFound, and CorruptStore rather than give another plan."""
        if not _ID.fullmatch(id_):
            raise NotFound(f"{id_[:80]!r} is not a checkpoint id (64 hexadecimal digits)")
        try:
            return self._intact("plans", id_)
        except FileNotFoundError:
            raise NotFound(f"no checkpoint {id_} has been issued here") from None
        except (Damaged, OSError) as error:
            raise self._corrupt("plans", id_, error, POST_AGAIN) from error

    def blob(self, digest: str) -> bytes:
        """The literal bytes with this SHA-256. Raises CorruptStore."""
        try:
            return self._intact("blobs", digest)
        except (Damaged, OSError) as error:
            raise self._corrupt("blobs", digest, error, POST_AGAIN) from error

    def beginning(self, digits: str) -> list[str]:
        """The ids of the plans that begin with these hexadecimal digits, two or more of them."""
        entries = _scan([self.root / "plans" / digits[:2]])
        names = (entry.name.partition(".") for entry in entries)
        return [
            name
            for name, dot, _ in names
            if dot and name.startswith(digits) and _ID.fullmatch(name)
        ]

    def page(self, limit: int, after: str | None) -> tuple[list[Issued], str | None]:
        """Up to `limit` issued checkpoints, newest first, from `after` on, and the next cursor.

        Looks at every plan's directory entry: about 3 ms for a thousand.
        """
        bound = Issued.at(after) if after else None
        older = (item for item in self._issued() if bound is None or item < bound)
        found = nlargest(limit + 1, older)
        return found[:limit], found[limit - 1].cursor if len(found) > limit else None

    def _issued(self) -> Iterator[Issued]:
        for entry in self._files("plans"):
            name, dot, _ = entry.name.partition(".")
            if dot and _ID.fullmatch(name):
                with suppress(FileNotFoundError):
                    yield Issued(entry.stat().st_mtime_ns, name)

    # --- what belongs to a plan --------------------------------------------------

    def put_materialized(self, id_: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Stores a platform-bound plan's tensors. Raises StoreFull, StoreUnwritable."""
        with _storing():
            path = self._path("materialized", id_)
            write_atomically(path, with_block_digests(pieces, id_))

    def materialized(self, id_: str, size_bytes: int) -> BlockFile | None:
        """A platform-bound plan's tensors, which it says are so long; None when they are gone.

        Raises Damaged when that is seen already, and OSError.
        """
        try:
            return BlockFile(self._path("materialized", id_), id_, size_bytes)
        except FileNotFoundError:
            return None

    def materialized_version(self, id_: str) -> tuple[int, int] | None:
        """Another whenever the tensors are stored; None when they are gone."""
        try:
            status = self._path("materialized", id_).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

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
                    durable.remove_left(Path(file.path))

    def blobs_of(self, id_: str) -> set[str]:
        """The SHA-256 of whatever a plan names; empty when it is not there."""
        with suppress(FileNotFoundError):
            record = self._path("plans", id_).read_bytes()
            return {found.decode() for found in _NAMED.findall(record)}
        return set()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Inside, nothing is removed that has been noted to be in use."""
        with ExitStack() as stack:
            with suppress(OSError):  # Without locks, nothing can be removed either.
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.root / ".lock", exclusive=False))
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
        try:
            document = self._intact(kind, id_)
        except (Damaged, OSError) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("a cached file is damaged", kind=kind, id=id_, reason=str(error))
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
        """The content of a short file. Raises Damaged and OSError."""
        content = self._path(kind, name).read_bytes()
        if kind == "blobs":
            check_digest(content, name)
            return content
        content = unsealed(content)
        if kind == "plans":
            check_digest(content.partition(b"\n")[0], name)
        return content

    def _is_intact(self, kind: str, name: str) -> bool:
        try:
            self._intact(kind, name)
        except (Damaged, OSError) as error:
            log.warning("a file is damaged", kind=kind, name=name, reason=str(error))
            return False
        return True

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


@contextmanager
def _storing() -> Iterator[None]:
    """Tells a caller why nothing could be stored."""
    try:
        yield
    except OSError as error:
        log.error("the store cannot be written", reason=str(error))
        refusal = StoreFull if error.errno in FULL else StoreUnwritable
        raise refusal(f"the store cannot be written: {error.strerror}") from error


def _scan(folders: Iterable[os.PathLike[str] | str]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as it:
            yield from it
