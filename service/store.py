"""The plan store: a directory in which every file appears whole or not at all.

    plans/<ab>/<id>.json          a line of the canonical plan, whose SHA-256 is the id, and
                                  one that describes it
    blobs/<ab>/<sha256>           literal bytes that plans name
    materialized/<ab>/<id>.bin    tensors of a platform-bound plan, as they were drawn
    statistics/<ab>/<id>.json     a cache

What a plan names is written before the plan, so a plan that is there is complete.
Several processes may share the directory.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import mmap
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from service.errors import InvalidParameter, NotFound

_ID = re.compile(r"[0-9a-f]{64}")


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


class Store:
    """The plan store in the directory `root`. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Raises OSError when nothing can be stored."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f".probe.{secrets.token_hex(8)}"
        probe.touch()
        probe.unlink()

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Stores a plan's record and the literals it names; whether it is new."""
        path = self._path("plans", id_, ".json")
        if path.exists():
            return False
        for digest, blob in blobs.items():
            write_atomically(self._path("blobs", digest), [blob])
        write_atomically(path, [plan])
        return True

    def has_plan(self, id_: str) -> bool:
        return _ID.fullmatch(id_) is not None and self._path("plans", id_, ".json").exists()

    def plan(self, id_: str) -> bytes:
        """The plan's record. Raises NotFound, and CorruptStore rather than give another plan."""
        if not _ID.fullmatch(id_):
            raise NotFound(f"{id_[:80]!r} is not a checkpoint id (64 hexadecimal digits)")
        try:
            path = self._path("plans", id_, ".json")
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
        for entry in _scan(folder.path for folder in _scan([self.root / "plans"])):
            name, dot, _ = entry.name.partition(".")
            if dot and _ID.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    yield Issued(entry.stat().st_mtime_ns, name)

    # --- what belongs to a plan --------------------------------------------------

    def materialized_path(self, id_: str) -> Path:
        """Where a platform-bound plan's tensors lie."""
        return self._path("materialized", id_, ".bin")

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
        try:
            return self._path("statistics", id_, ".json").read_bytes()
        except FileNotFoundError:
            return None

    def put_statistics(self, id_: str, document: bytes) -> None:
        write_atomically(self._path("statistics", id_, ".json"), [document])

    def _path(self, kind: str, name: str, suffix: str = "") -> Path:
        return self.root / kind / name[:2] / (name + suffix)

    def _read_digested(self, path: Path, digest: str) -> bytes:
        content = path.read_bytes()
        _check_digest(path, content, digest)
        return content


def _check_digest(path: Path, content: bytes, digest: str) -> None:
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise CorruptStore(f"{path} has the SHA-256 {actual}")


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """A file of `pieces` at `path`, durably, or nothing there: also when the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _scan(folders: Iterable[os.PathLike[str] | str]) -> Iterator[os.DirEntry[str]]:
    for folder in folders:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as it:
            yield from it
