"""Byte source of bytes that are in memory: a plan, the buffers that no file holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.generation.whole_tensors import WholeTensor


@dataclass(frozen=True, slots=True)
class BytesSource:
    """Byte source of `data`."""

    data: bytes
    etag: str

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def is_light(self) -> bool:
        return True

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Copy bytes [start, stop) to `out`, of any alignment."""
        out[:] = np.frombuffer(self.data, np.uint8, stop - start, start)

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) into spans of at most `nbytes`."""
        for first in range(start, stop, nbytes):
            yield first, min(stop, first + nbytes)

    def whole_tensors(self, start: int, stop: int) -> Sequence[WholeTensor]:
        """Return nothing: these bytes depend on no whole tensor."""
        return ()
