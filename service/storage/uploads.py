"""Uploads of blobs: streamed to the store, compared with their name, and bounded in total."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial

from seedpoint.models.files.layout import MAX_FILE_BYTES
from seedpoint.models.verify.blob_header import MAX_HEAD_BYTES, blob_head_bytes, blob_tensors
from seedpoint.models.verify.header import LENGTH_BYTES, FileFault
from seedpoint.service.errors import BlobMissing, BodyTooLarge, DigestMismatch, InvalidBlob
from seedpoint.service.storage.blob_files import KIND, BlobFiles
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.checksums import BlockDigests, trailer_bytes
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.eviction import GRACE_SECONDS
from seedpoint.service.storage.faults import storing
from seedpoint.service.storage.store import Damaged, Entry, Store, Write, key

PIECE_BYTES = 1 << 20  # Written, and hashed, at a time.
STEP_BYTES = 256 << 20  # Room made at a time for a blob whose size is not declared.
LOOK_BYTES = 64 << 20  # Checked at a time of a blob that is there already.


class Uploads:
    """Blobs that clients put into a store, of at most `max_bytes` together. Thread-safe.

    When a new blob needs room, the longest unused blobs that no plan names are removed. `plans`
    are those of the same store.
    """

    def __init__(
        self,
        store: Store,
        plans: CheckpointStore,
        files: BlobFiles,
        max_bytes: int,
        *,
        clock: Clock = system,
    ) -> None:
        self.max_bytes = max_bytes
        self.files = files
        self._store = store
        self._plans = plans
        self._clock = clock

    def check_size(self, size_bytes: int) -> None:
        """Raise BodyTooLarge if a blob of `size_bytes` can never have room."""
        if size_bytes + trailer_bytes(size_bytes) > self.max_bytes:
            raise BodyTooLarge(
                f"blobs may take {self.max_bytes} bytes in all (blob_bytes), with 32 bytes for "
                f"each MiB, and this one has {size_bytes} or more"
            )

    async def receive(
        self,
        name: str,
        pieces: AsyncIterator[bytes],
        *,
        size_bytes: int | None = None,
        digests: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Store the blob `name`, its SHA-256, that `pieces` form; return whether it is new.

        A blob that is there is not received again, unless it is damaged. Nothing is left of one
        that does not come to its end, or has other digests: those in `digests` by hashlib's name,
        besides its name. Raises: BodyTooLarge, DigestMismatch, InvalidBlob, StoreFull,
        StoreUnwritable, StoreUnreadable, and the errors of `pieces`.
        """
        if is_intact := await self._is_intact(name):
            return False
        begin = partial(self._begin, replaces=is_intact is not None)
        upload = await asyncio.to_thread(begin, name, size_bytes, digests or {})
        try:
            async for piece in _joined(pieces):
                await asyncio.to_thread(upload.write, piece)
            is_new = await asyncio.to_thread(upload.finish)
        finally:
            await asyncio.to_thread(upload.close)
        await asyncio.to_thread(self.files.check, [name])
        return is_new

    async def _is_intact(self, name: str) -> bool | None:
        """Return whether every block of a blob is intact; None if it is absent."""
        try:
            file = await asyncio.to_thread(self.files.open, name)
            for start in range(0, max(file.size_bytes, 1), LOOK_BYTES):
                stop = min(start + LOOK_BYTES, file.size_bytes)
                await asyncio.to_thread(file.check, start, stop)
            await asyncio.to_thread(self.files.check, [name])
        except (FileNotFoundError, BlobMissing):
            return None
        except Damaged:
            return False
        return True

    def make_room(self, nbytes: int) -> None:
        """Remove the longest unused blobs that no plan names until `nbytes` fit.

        The caller holds the lock of the kind. Raises: OSError if they cannot fit.
        """
        entries = list(self._store.entries(KIND))
        taken = sum(entry.nbytes for entry in entries) + self._store.unfinished_bytes(KIND)
        left = self.max_bytes - taken - nbytes
        for entry in self._idle(entries) if left < 0 else ():
            if left >= 0:
                break
            left += entry.nbytes if self._store.delete(KIND, entry.name, entry.used_ns) else 0
        if left < 0:
            raise OSError(
                errno.ENOSPC,
                f"blobs may take {self.max_bytes} bytes in all (blob_bytes), and those that plans "
                f"name, or that were used in the last {GRACE_SECONDS:.0f} seconds, leave no room",
            )

    def _idle(self, entries: list[Entry]) -> list[Entry]:
        """Return the blobs that may be removed, the longest unused first."""
        grace_ns = self._clock().wall_ns - int(GRACE_SECONDS * 1e9)
        idle = [entry for entry in entries if entry.used_ns < grace_ns]
        return sorted(self._plans.unnamed(idle), key=lambda entry: entry.used_ns)

    def _begin(
        self, name: str, size_bytes: int | None, digests: Mapping[str, bytes], *, replaces: bool
    ) -> Upload:
        """Reserve room for a blob and begin to write it. Raises BodyTooLarge, StoreFull."""
        reserved = 0
        if size_bytes is not None:
            self.check_size(size_bytes)
            reserved = size_bytes + trailer_bytes(size_bytes)
        with ExitStack() as stack:
            with storing(key(KIND, name)), self._store.lock(KIND):  # Until the room is reserved.
                self.make_room(reserved)
                write = stack.enter_context(
                    self._store.writing(KIND, name, create=not replaces, size_bytes=reserved)
                )
            return Upload(self, name, size_bytes, digests, write, stack.pop_all())

    def grow(self, name: str, size_bytes: int) -> int:
        """Make room for more than the `size_bytes` of a blob whose size is not declared.

        Returns the size for which there is room. Raises: StoreFull.
        """
        most = self.max_bytes - size_bytes - trailer_bytes(size_bytes)
        step = max(min(STEP_BYTES, self.max_bytes // 16, most), 0)
        with storing(key(KIND, name)), self._store.lock(KIND):
            self.make_room(step)
        return size_bytes + step


class Upload:
    """Blob that is being written, and appears when it is finished. Thread-safe."""

    def __init__(
        self,
        uploads: Uploads,
        name: str,
        size_bytes: int | None,
        digests: Mapping[str, bytes],
        write: Write,
        writing: ExitStack,
    ) -> None:
        self._uploads = uploads
        self._name = name
        self._expected = {"sha256": bytes.fromhex(name), **digests}
        self._digests = {algorithm: hashlib.new(algorithm) for algorithm in self._expected}
        self._blocks = BlockDigests()
        self._head = _Head(size_bytes)
        self._room_bytes = size_bytes or 0
        self._write = write
        self._writing = writing
        self._lock = threading.Lock()

    def write(self, piece: bytes) -> None:
        """Append a piece. Raises InvalidBlob, BodyTooLarge, StoreFull, StoreUnwritable."""
        with self._lock:
            total = self._blocks.size_bytes + len(piece)
            self._uploads.check_size(total)
            if total > self._room_bytes:
                self._room_bytes = self._uploads.grow(self._name, total)
            self._head.take(piece)
            for digest in self._digests.values():
                digest.update(piece)
            self._blocks.update(piece)
            with storing(key(KIND, self._name)):
                self._write(piece)

    def finish(self) -> bool:
        """Complete the blob; return False if another client did meanwhile.

        Raises: DigestMismatch, InvalidBlob, StoreFull, StoreUnwritable.
        """
        with self._lock:
            self._check_digests()
            self._head.finish(self._blocks.size_bytes)
            with storing(key(KIND, self._name)), suppress(FileExistsError):
                self._write(self._blocks.trailer(self._name))
                self._writing.close()
                return True
            return False

    def close(self) -> None:
        """Leave nothing of a blob that was not finished."""
        unfinished = RuntimeError("the blob was not finished")
        with self._lock, suppress(RuntimeError), self._writing.pop_all():
            raise unfinished

    def _check_digests(self) -> None:
        for algorithm, digest in self._digests.items():
            found, expected = digest.digest(), self._expected[algorithm]
            if found != expected:
                raise DigestMismatch(
                    f"the {self._blocks.size_bytes} bytes received have the {algorithm} "
                    f"{found.hex()}, not {expected.hex()}"
                )


class _Head:
    """Header of a blob that arrives in pieces; each fault is found as early as possible.

    `size_bytes` is the size that is declared, None for none.
    """

    def __init__(self, size_bytes: int | None) -> None:
        self._size_bytes = size_bytes
        self._bytes = bytearray()
        self._is_checked = False

    def take(self, piece: bytes) -> None:
        """Take the next piece. Raises InvalidBlob."""
        if self._is_checked:
            return
        self._bytes += piece[: MAX_HEAD_BYTES - len(self._bytes)]
        if len(self._bytes) >= LENGTH_BYTES:
            length = self._length(self._size_bytes or MAX_FILE_BYTES)
            if self._size_bytes is not None and len(self._bytes) >= length:
                self.finish(self._size_bytes)

    def finish(self, size_bytes: int) -> None:
        """Check the header of a blob of `size_bytes`, unless that was done. Raises InvalidBlob."""
        if self._is_checked:
            return
        head = bytes(self._bytes[: self._length(size_bytes)])
        try:
            blob_tensors(head, size_bytes)
        except FileFault as error:
            raise _invalid(error) from None
        self._bytes.clear()
        self._is_checked = True

    def _length(self, size_bytes: int) -> int:
        try:
            return blob_head_bytes(bytes(self._bytes[:LENGTH_BYTES]), size_bytes)
        except FileFault as error:
            raise _invalid(error) from None


def _invalid(error: FileFault) -> InvalidBlob:
    return InvalidBlob(str(error))


async def _joined(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces joined to PIECE_BYTES or a little more."""
    joined = bytearray()
    async for piece in pieces:
        joined += piece
        if len(joined) >= PIECE_BYTES:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)
