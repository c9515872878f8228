"""Several ranges in one body: `multipart/byteranges` (RFC 9110, sections 14.6 and 15.3.7.2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import starmap

from seedpoint.service.http.multipart import Multipart
from seedpoint.service.http.ranges import content_range
from seedpoint.service.http.streaming_response import Body


@dataclass(frozen=True, slots=True)
class Byteranges:
    """Parts of a 206: half-open `spans` of a representation of `size_bytes`, in order.

    The boundary between the parts is derived from `key`, which differs between representations.
    """

    spans: tuple[tuple[int, int], ...]
    size_bytes: int
    content_type: str
    key: str

    @property
    def media_type(self) -> str:
        return f"multipart/byteranges; boundary={self._frame.boundary}"

    @property
    def content_length(self) -> int:
        """Length of the whole body, framing included, in bytes."""
        framing = sum(map(len, (*self._openings(), self._frame.end())))
        return framing + sum(stop - start for start, stop in self.spans)

    async def body(self, part: Callable[[tuple[int, int]], Body]) -> Body:
        """Yield the body; `part` generates the bytes of a span.

        A part's opening is sent only once the first bytes of the part are available.
        """
        for opening, span in zip(self._openings(), self.spans, strict=True):
            before = opening
            async with aclosing(part(span)) as chunks:
                async for chunk in chunks:
                    if before:
                        yield memoryview(before)
                        before = b""
                    yield chunk
                    del chunk  # Free the buffer as soon as the transport has sent it.
        yield memoryview(self._frame.end())

    def _openings(self) -> list[bytes]:
        return list(starmap(self._opening, self.spans))

    def _opening(self, start: int, stop: int) -> bytes:
        fields = {
            "Content-Type": self.content_type,
            "Content-Range": content_range(start, stop, self.size_bytes),
        }
        return self._frame.opening(fields, first=(start, stop) == self.spans[0])

    @property
    def _frame(self) -> Multipart:
        return Multipart.of(self.key)
