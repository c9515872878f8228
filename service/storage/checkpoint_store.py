"""Plans and what belongs to them, in any storage backend.

    plans           a line of the canonical plan, whose SHA-256 is the id, a line that describes
                    it, and a line with the file's SHA-256
    about           for a listing, the name, description and labels of a plan: a line of JSON and a
                    line with its SHA-256
    blobs           literal bytes that plans name, by their SHA-256
    materialized    tensors of a platform-bound plan, as they were drawn, and the digests of their
                    blocks
    statistics      a cache: a line of JSON and a line with its SHA-256
    digests         a cache in the same form

The data that a plan names are written before the plan, so a stored plan is complete. An object's
name or its checksum (`checksums`) shows whether it is intact; a damaged object is never returned,
and is written again by the next put. Whole tensors are in `whole_tensor_files`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import nlargest
from typing import Any

from pydantic_core import from_json

from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.errors import (
    CorruptStore,
    NotFound,
    StoreFull,
    StoreUnreadable,
    StoreUnwritable,
)
from seedpoint.service.logger import get_logger
from seedpoint.service.storage.checksums import (
    BlockFile,
    check_digest,
    sealed,
    unsealed,
    with_block_digests,
)
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.faults import reading, storing
from seedpoint.service.storage.store import Damaged, Entry, Kind, Store, Version, key, put

log = get_logger("seedpoint.store")

OF_A_PLAN: tuple[Kind, ...] = ("plans", "about", "materialized", "statistics", "digests")
RETAINED: tuple[Kind, ...] = (*OF_A_PLAN, "blobs")  # Kinds that retention looks after.
POST_AGAIN = "POST the checkpoint's spec again, or restore the file from a backup"
_ID = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Issued:
    """An issued checkpoint, and when its plan was stored, in nanoseconds since the epoch."""

    created_ns: int
    id: str

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_ns / 1e9, UTC)


def has_plans(store: Store) -> bool:
    """Return whether the store has plans that can be listed."""
    with suppress(OSError):
        return any(True for _ in store.entries("plans"))
    return False


class CheckpointStore:
    """Issued checkpoints in a storage backend. Thread-safe.

    `unkept` holds documents that could not be written, for later requests.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = system,
        unkept: MutableMapping[tuple[str, str], bytes] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._unkept = {} if unkept is None else unkept
        self._unkept_lock = threading.Lock()

    def check_writable(self) -> None:
        """Write a small object durably, and remove it. Raises StoreFull, StoreUnwritable."""
        with storing():
            self._store.check_writable()

    def check_usable(self) -> None:
        """Check that the store can be written, or is full, or has plans.

        A full store, and one that has plans, can still be served. Raises: StoreUnwritable.
        """
        try:
            self.check_writable()
        except StoreFull:  # Already logged.
            pass
        except StoreUnwritable:
            if not has_plans(self._store):
                raise
            log.warning("the store cannot be written; stored checkpoints are still served")

    # --- plans -----------------------------------------------------------------

    def put_plan(self, id_: str, plan: bytes, blobs: Mapping[str, bytes]) -> bool:
        """Store a plan's record and the literals it names; return whether the plan is new.

        Damaged objects of a known plan are written again. Raises: StoreFull, StoreUnwritable,
        StoreUnreadable.
        """
        known = self.use(id_)  # From here on, no sweep removes the plan or its tensors.
        for digest, blob in blobs.items():
            if not (
                self._use("blobs", digest) and self._intact_or_none("blobs", digest) is not None
            ):
                self._put("blobs", digest, [blob])
        if not known:
            return self._create("plans", id_, sealed(plan))
        if self._intact_or_none("plans", id_) is None:
            self._put("plans", id_, [sealed(plan)])
        return False

    def use(self, id_: str, used_ns: int | None = None) -> bool:
        """Note a use of the plan and its tensors; return False if the plan does not exist.

        The time of the use is now, or `used_ns` by the wall clock. Raises: StoreUnreadable.
        """
        if not _ID.fullmatch(id_):
            return False
        known = self._use("plans", id_, used_ns)
        self._use("materialized", id_, used_ns)  # Also without its plan, which is stored last.
        return known

    def has_plan(self, id_: str) -> bool:
        return _ID.fullmatch(id_) is not None and self._store.stat("plans", id_) is not None

    def has_intact_plan(self, id_: str) -> bool:
        """Return whether the plan exists and is intact, by reading it. Raises StoreUnreadable."""
        return _ID.fullmatch(id_) is not None and self._intact_or_none("plans", id_) is not None

    def plan(self, id_: str) -> bytes:
        """Return the plan's record.

        Raises: NotFound; StoreUnreadable; CorruptStore if it is damaged.
        """
        if not _ID.fullmatch(id_):
            raise NotFound(f"{id_[:80]!r} is not a checkpoint id; expected 64 hexadecimal digits")
        try:
            return self._intact("plans", id_)
        except FileNotFoundError:
            raise NotFound(f"no checkpoint {id_} has been issued here") from None
        except Damaged as error:
            raise _corrupt("plans", id_, error, POST_AGAIN) from error

    def blob(self, digest: str) -> bytes:
        """Return the literal bytes with this SHA-256. Raises CorruptStore, StoreUnreadable."""
        try:
            return self._intact("blobs", digest)
        except (Damaged, FileNotFoundError) as error:
            raise _corrupt("blobs", digest, error, POST_AGAIN) from error

    def blobs_of(self, id_: str) -> set[str]:
        """Return the SHA-256 of every blob that a plan names; empty if the plan is gone."""
        with suppress(FileNotFoundError):
            return {name.decode() for name in _NAMED.findall(self._store.get("plans", id_))}
        return set()

    def beginning(self, digits: str) -> list[str]:
        """Return the ids of the plans that begin with these hexadecimal digits, at least two.

        Raises: StoreUnreadable.
        """
        with reading("plans"):
            return [entry.name for entry in self._store.entries("plans", digits)]

    def page(self, limit: int, after: Issued | None = None) -> tuple[list[Issued], Issued | None]:
        """Return up to `limit` issued checkpoints, newest first, and the last if there are more.

        The page begins after the checkpoint `after`. Every plan is listed, which takes about 3 ms
        for a thousand in a directory. Raises: StoreUnreadable.
        """
        bound = None if after is None else (after.created_ns, after.id)
        with reading("plans"):
            stored = ((entry.stored_ns, entry.name) for entry in self._store.entries("plans"))
            older = (item for item in stored if bound is None or item < bound)
            page = [Issued(*item) for item in nlargest(limit + 1, older)]
        return page[:limit], page[limit - 1] if len(page) > limit else None

    # --- objects of a plan -----------------------------------------------------------

    def put_about(self, id_: str, document: bytes) -> None:
        """Store a plan's name, description and labels as JSON; log it if the write fails."""
        self._cache("about", id_, document)

    def about_each(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the name, description and labels of those plans that have any.

        Raises: StoreUnreadable if only a descriptor or memory is lacking.
        """
        found = ((id_, self._kept("about", id_)) for id_ in ids)
        return {id_: from_json(document) for id_, document in found if document is not None}

    def put_materialized(self, id_: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Store a platform-bound plan's tensors. Raises StoreFull, StoreUnwritable."""
        self._put("materialized", id_, with_block_digests(pieces, id_))

    def materialized(self, id_: str, size_bytes: int) -> BlockFile | None:
        """Return a platform-bound plan's tensors, `size_bytes` in total; None if they are gone.

        Reading them raises FileNotFoundError, Damaged or StoreUnreadable. Raises: Damaged if that
        shows without reading the content; StoreUnreadable.
        """
        with suppress(FileNotFoundError):
            return BlockFile(partial(self._range, "materialized", id_), id_, size_bytes)
        return None

    def materialized_version(self, id_: str) -> Version | None:
        """Return a value that changes whenever the tensors are stored; None if they are gone.

        Raises: StoreUnreadable.
        """
        with reading(key("materialized", id_)):
            entry = self._store.stat("materialized", id_)
        return None if entry is None else entry.version

    def corrupt_materialized(self, id_: str, error: Exception, remedy: str) -> CorruptStore:
        """Return the error to raise for damaged tensors that cannot be made again."""
        return _corrupt("materialized", id_, error, remedy)

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

    # --- removal -------------------------------------------------------------------

    def entries(self, *kinds: Kind) -> Iterator[Entry]:
        """Yield every object of these kinds, by default RETAINED, with its last use."""
        for kind in kinds or RETAINED:
            yield from self._store.entries(kind)

    def remove(self, entry: Entry) -> bool:
        """Remove an object, or all objects of a plan but its blobs; return whether it did.

        An object that was used after `entry` was made stays, and so does one of the plan that is
        used meanwhile: the plan may have been issued again.
        """
        if entry.kind != "plans":
            return self._store.delete(entry.kind, entry.name, entry.used_ns)
        seen = [self._store.stat(kind, entry.name) for kind in OF_A_PLAN[1:]]
        if not self._store.delete("plans", entry.name, entry.used_ns):
            return False
        for other in seen:
            if other is not None:
                self._store.delete(other.kind, other.name, other.used_ns)
        return True

    def discard_unfinished(self, before_ns: int) -> None:
        """Remove what interrupted writers left before this time."""
        self._store.discard_unfinished(before_ns)

    # --- objects by kind ----------------------------------------------------------------

    def _use(self, kind: Kind, name: str, used_ns: int | None = None) -> bool:
        wall_ns = self._clock().wall_ns if used_ns is None else used_ns
        with reading(key(kind, name)):
            return self._store.use(kind, name, wall_ns)

    def _put(self, kind: Kind, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Write an object. Raises StoreFull, StoreUnwritable."""
        with storing(key(kind, name)):
            put(self._store, kind, name, pieces)

    def _create(self, kind: Kind, name: str, content: bytes) -> bool:
        """Write an object unless it exists by then; return whether it did. Raises as `_put`."""
        with storing(key(kind, name)), suppress(FileExistsError):
            put(self._store, kind, name, [content], create=True)
            return True
        return False

    def _range(self, kind: Kind, name: str, start: int, stop: int) -> bytes:
        with reading(key(kind, name)):
            return self._store.get_range(kind, name, start, stop)

    def _intact(self, kind: Kind, name: str) -> bytes:
        """Return a short object's content. Raises FileNotFoundError, Damaged, StoreUnreadable."""
        with reading(key(kind, name)):
            content = self._store.get(kind, name)
        if kind == "blobs":
            check_digest(content, name)
            return content
        content = unsealed(content)
        if kind == "plans":
            check_digest(content.partition(b"\n")[0], name)
        return content

    def _intact_or_none(self, kind: Kind, name: str) -> bytes | None:
        """Return a short object's content; None if it is to be written, which is always safe.

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

    def _cached(self, kind: Kind, id_: str) -> bytes | None:
        """Return a cached document; None if none can be read, since it can be made again.

        Raises: StoreUnreadable if only a descriptor or memory is lacking.
        """
        if (document := self._kept(kind, id_)) is not None:
            self._use(kind, id_)
        return document

    def _kept(self, kind: Kind, id_: str) -> bytes | None:
        """Return a document without noting a use; None if none can be read. Raises as `_cached`."""
        if (document := self._intact_or_none(kind, id_)) is None:
            with self._unkept_lock:
                return self._unkept.get((kind, id_))
        return document

    def _cache(self, kind: Kind, id_: str, document: bytes) -> None:
        try:
            put(self._store, kind, id_, [sealed(document)])
        except OSError as error:
            log.warning("a file could not be cached", kind=kind, id=id_, reason=str(error))
            with self._unkept_lock:
                self._unkept[kind, id_] = document


def _corrupt(kind: Kind, name: str, error: Exception, remedy: str) -> CorruptStore:
    log.error("a file is damaged", kind=kind, name=name, reason=str(error))
    reason = error.strerror if isinstance(error, OSError) else error
    return CorruptStore(f"{key(kind, name)} in the store is damaged ({reason}); {remedy}")
