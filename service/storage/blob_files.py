"""Blobs in a storage backend: safetensors files of clients, from which checkpoints are read.

An object is a blob, then the digests of its blocks (`checksums`), under the blob's SHA-256. It was
compared with its name when it was stored (`uploads`); every block is compared with its digest when
it is read, so a damaged byte is never returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from seedpoint.models.files.blobs import BlobTensor, ByteArray
from seedpoint.models.verify.blob_header import blob_head_bytes, blob_tensors
from seedpoint.models.verify.header import LENGTH_BYTES, FileFault
from seedpoint.service.errors import BlobMissing, CorruptStore
from seedpoint.service.logger import get_logger
from seedpoint.service.storage.checksums import BlockFile, content_bytes
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.faults import reading
from seedpoint.service.storage.store import Damaged, Store, key

log = get_logger("seedpoint.blobs")

KIND: Final = "uploads"
NOTE_SECONDS = 60.0  # A blob in use is noted once in this time.
KEPT = 1000  # Blobs whose digests are kept in memory, 32 bytes for each MiB.


class BlobFiles:
    """Blobs in `store`, by SHA-256. Thread-safe; a pickled copy has the same blobs."""

    def __init__(self, store: Store, *, clock: Clock = system) -> None:
        self._store = store
        self._clock = clock
        self._opened: dict[str, BlockFile] = {}
        self._noted_ns: dict[str, int] = {}  # Last note of each blob, by the monotonic clock.

    def __reduce__(self) -> Any:
        return BlobFiles, (self._store,)

    def size_bytes(self, sha256: str) -> int | None:
        """Return the size of a blob; None if it is absent. Raises StoreUnreadable."""
        with reading(key(KIND, sha256)):
            entry = self._store.stat(KIND, sha256)
        return None if entry is None else max(content_bytes(entry.size_bytes), 0)

    def check(self, names: Iterable[str]) -> None:
        """Check that every blob of `names` exists, and note its use once in NOTE_SECONDS.

        Raises: BlobMissing, StoreUnreadable.
        """
        for sha256 in names:
            if not self._use(sha256):
                raise missing(sha256)

    def open(self, sha256: str) -> BlockFile:
        """Return a blob, which is read by range; the digests of its blocks stay in memory.

        Reading it raises FileNotFoundError, Damaged or StoreUnreadable. Raises:
        FileNotFoundError; Damaged if that shows without reading it; StoreUnreadable.
        """
        if (file := self._opened.get(sha256)) is None:
            if (size_bytes := self.size_bytes(sha256)) is None:
                raise FileNotFoundError(sha256)
            file = BlockFile(partial(self._range, sha256), sha256, size_bytes)
            if len(self._opened) >= KEPT:
                self._opened.clear()
            self._opened[sha256] = file
        return file

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        """Return the tensors of a blob by name.

        Raises: ValueError, which says what to do, if it is missing or no safetensors file;
        CorruptStore, StoreUnreadable.
        """
        try:
            if self.size_bytes(sha256) is None:  # Its first block may be in memory.
                raise FileNotFoundError(sha256)
            file = self.open(sha256)
            prefix = bytes(file.read(0, min(LENGTH_BYTES, file.size_bytes)))
            head = bytes(file.read(0, blob_head_bytes(prefix, file.size_bytes)))
            return blob_tensors(head, file.size_bytes)
        except FileNotFoundError:
            raise ValueError(str(missing(sha256))) from None
        except FileFault as error:
            raise ValueError(f"blob {sha256}: {error}") from None
        except Damaged as error:
            raise _corrupt(sha256, error) from error

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        """Fill `out` with bytes of a blob from `offset` on.

        Raises: BlobMissing, CorruptStore, StoreUnreadable.
        """
        done = 0
        try:
            for part in self.open(sha256).parts(offset, offset + len(out)):
                out[done : done + len(part)] = np.frombuffer(part, np.uint8)
                done += len(part)
        except FileNotFoundError:
            raise missing(sha256) from None
        except Damaged as error:
            raise _corrupt(sha256, error) from error

    def _use(self, sha256: str) -> bool:
        """Note a use, unless that was done lately; return False if the blob is absent."""
        now = self._clock()
        noted_ns = self._noted_ns.get(sha256)
        if noted_ns is not None and now.monotonic_ns - noted_ns < NOTE_SECONDS * 1e9:
            return self.size_bytes(sha256) is not None
        if len(self._noted_ns) >= KEPT:
            self._noted_ns.clear()
        self._noted_ns[sha256] = now.monotonic_ns
        with reading(key(KIND, sha256)):
            return self._store.use(KIND, sha256, now.wall_ns)

    def _range(self, sha256: str, start: int, stop: int) -> bytes:
        with reading(key(KIND, sha256)):
            return self._store.get_range(KIND, sha256, start, stop)


def missing(sha256: str) -> BlobMissing:
    """Return the error to raise for a blob that is absent."""
    return BlobMissing(f"no blob {sha256} here; PUT /v1/blobs/{sha256} first")


def _corrupt(sha256: str, error: Damaged) -> CorruptStore:
    log.error("a blob is damaged", sha256=sha256, reason=str(error))
    return CorruptStore(
        f"{key(KIND, sha256)} in the store is damaged ({error}); PUT /v1/blobs/{sha256} again"
    )
