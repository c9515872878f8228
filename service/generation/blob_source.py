"""Byte source of a blob: the file that a client has put."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.service.storage.blob_files import BlobFiles
from seedpoint.service.storage.checksums import BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class BlobSource:
    """Byte source of the blob `sha256`, of `size_bytes`."""

    files: BlobFiles
    sha256: str
    size_bytes: int

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    @property
    def is_light(self) -> bool:
        return False  # It is read from disk.

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) to `out`. Raises BlobMissing, CorruptStore, StoreUnreadable."""
        self.files.read(self.sha256, start, out[: stop - start])

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) at the blocks that have digests, into spans of about `nbytes`."""
        step = max(nbytes // BLOCK_BYTES, 1) * BLOCK_BYTES
        while start < stop:
            last = min(stop, (start // step + 1) * step)
            yield start, last
            start = last

    def whole_tensors(self, start: int, stop: int) -> Sequence[WholeTensor]:
        return ()
