"""Bytes that can be read by range: a file of a checkpoint, a slice of a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.generation.whole_tensors import WholeTensor

Priority = Literal["first", "continuing", "background"]
"""Priority of reading bytes.

`first`: the response has not begun. It may be refused, and begins only once its first whole tensors
are ready. `continuing`: a later part of a response that has begun, which is never refused.
`background`: yields to everything else and is never refused.
"""

Span = tuple[int, int]  # Bytes [start, stop).


class ByteSource(Protocol):
    """Bytes that are generated when they are read, and are the same every time.

    Methods are thread-safe.
    """

    @property
    def size_bytes(self) -> int: ...

    @property
    def etag(self) -> str:
        """Strong entity tag, with its quotes, known before any byte is generated."""

    @property
    def is_light(self) -> bool:
        """True if any small range takes less than a millisecond to read.

        Nothing is read from disk, and little is generated only to be discarded.
        """

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) to `out`, without the interpreter lock."""

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[Span]:
        """Cut bytes [start, stop) into consecutive spans of about `nbytes` to read at a time."""

    def whole_tensors(self, start: int, stop: int) -> Sequence[WholeTensor]:
        """Return the whole tensors that bytes [start, stop) depend on."""
