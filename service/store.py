"""The plan store: a directory in which every file appears whole or not at all.

    plans/<ab>/<id>.json          a line of the canonical plan, whose SHA-256 is the id, and
                                  one that describes it
    blobs/<ab>/<sha256>           literal bytes that plans name
    materialized/<ab>/<id>.bin    tensors of a platform-bound plan, as they were drawn
    statistics/<ab>/<id>.json     a cache
    digests/<ab>/<id>.json        a cache

What a plan names is written before the plan, so a plan that is there is complete.
Several processes may share the directory. A file's modification time is when it was
stored; its access time is set when it is used, whatever the mount options are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mmap
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain
from pathlib import Path

from service.durable import is_left, locked, temporary_path, write_atomically
from service.errors import InvalidParameter, NotFound

SUFFIXES = {
    "plans": ".json",
    "blobs": "",
    "materialized": ".bin",
    "statistics": ".json",
    "digests": ".json",
}
_ID = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


class CorruptStore(RuntimeError):
    """A file of the store that is not what its name says."""


@dataclass(frozen=True, slots=True, order=True)
class Issued:
    """One issued checkpoint: when its plan was stored, in nanoseconds since the epoch."""

    created_ns: int
    id: str

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
            raise InvalidParameter(f"{cursor!r} is no cursor that was given out") from None


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

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Raises OSError when nothing can be stored."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = temporary_path(self.root / "probe")
        probe.touch()
        probe.unlink()

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Stores a plan's record and the literals it names; whether it is new."""
        with self._kept():
            if self._use("plans", id_):
                return False
            for digest, blob in blobs.items():
                if not self._use("blobs", digest):
                    write_atomically(self._path("blobs", digest), [blob])
            write_atomically(self._path("plans", id_), [plan])
        return True

    def use(self, id_: str) -> bool:
        """Notes that the plan and its tensors are in use; False when it is not there."""
        if not _ID.fullmatch(id_):
            return False
        with self._kept():
            self._use("materialized", id_)
            return self._use("plans", id_)

    def has_plan(self, id_: str) -> bool:
        return _ID.fullmatch(id_) is not None and self._path("plans", id_).exists()

    def plan(self, id_: str) -> bytes:
        """The plan's record. Raises NotFound, and CorruptStore rather than give another plan."""
        if not _ID.fullmatch(id_):
            raise NotFound(f"{id_[:80]!r} is not a checkpoint id (64 hexadecimal digits)")
        try:
            path = self._path("plans", id_)
            record = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no checkpoint {id_} has been issued here") from None
        _check_digest(path, record.partition(b"\n")[0], id_)
        return record

    def blob(self, digest: str) -> bytes:
        """The literal bytes with this SHA-256. Raises CorruptStore."""
        try:
            return self._read_digested(self._path("blobs", digest), digest)
        except FileNotFoundError as error:
            raise CorruptStore(f"a plan names the blob {digest}, which is gone") from error

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

    def materialized_path(self, id_: str) -> Path:
        """Where a platform-bound plan's tensors lie."""
        return self._path("materialized", id_)

    def materialized(self, id_: str) -> memoryview | None:
        """A platform-bound plan's tensors, mapped; None when they are not there."""
        try:
            with self.materialized_path(id_).open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return memoryview(b"")  # Nothing cannot be mapped.
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            return None

    def statistics(self, id_: str) -> bytes | None:
        """The cached statistics, JSON; None when there are none."""
        return self._cached("statistics", id_)

    def put_statistics(self, id_: str, document: bytes) -> None:
        write_atomically(self._path("statistics", id_), [document])

    def digests(self, id_: str) -> bytes | None:
        """The cached digests of its representations, JSON; None when there are none."""
        return self._cached("digests", id_)

    def put_digests(self, id_: str, document: bytes) -> None:
        write_atomically(self._path("digests", id_), [document])

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
        """Removes what was begun before that time and never finished."""
        files = (file for kind in SUFFIXES for file in self._files(kind))
        for file in chain(_scan([self.root]), files):
            with suppress(FileNotFoundError):
                if is_left(file.name) and file.stat().st_mtime_ns < before_ns:
                    Path(file.path).unlink()

    def blobs_of(self, id_: str) -> set[str]:
        """The SHA-256 of whatever a plan names; empty when it is not there."""
        with suppress(FileNotFoundError):
            record = self._path("plans", id_).read_bytes()
            return {found.decode() for found in _NAMED.findall(record)}
        return set()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Inside, nothing is removed that has been noted to be in use."""
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with suppress(OSError):  # Without locks, nothing can be removed either.
                stack.enter_context(locked(self.root / ".lock", exclusive=False))
            yield

    def _use(self, kind: str, name: str) -> bool:
        """Sets the access time; False when there is no such file."""
        path = self._path(kind, name)
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except FileNotFoundError:
            return False
        except PermissionError:  # Another user's, whose service shares the store.
            pass
        return True

    def _cached(self, kind: str, id_: str) -> bytes | None:
        try:
            document = self._path(kind, id_).read_bytes()
        except FileNotFoundError:
            return None
        self._use(kind, id_)
        return document

    def _files(self, kind: str) -> Iterator[os.DirEntry[str]]:
        yield from _scan(folder.path for folder in _scan([self.root / kind]))

    def _path(self, kind: str, name: str) -> Path:
        return self.root / kind / name[:2] / (name + SUFFIXES[kind])

    def _read_digested(self, path: Path, digest: str) -> bytes:
        content = path.read_bytes()
        _check_digest(path, content, digest)
        return content


def _used_ns(status: os.stat_result) -> int:
    return max(status.st_atime_ns, status.st_mtime_ns)


def _check_digest(path: Path, content: bytes, digest: str) -> None:
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise CorruptStore(f"{path} has the SHA-256 {actual}")


def _scan(folders: Iterable[os.PathLike[str] | str]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as it:
            yield from it
