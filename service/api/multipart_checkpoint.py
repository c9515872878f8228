"""A checkpoint as one `multipart/mixed` body: resource, files, statistics, in one pass.

Values are generated once: statistics are gathered from the bytes while they are in cache.
Every part and the whole body have a Content-Length. If the statistics are not known yet, the
length reserves room for their longest form; the rest of the room is filled with blanks after
the last part (the epilogue), which readers ignore (RFC 2046, section 5.1.1). Chunked transfer
coding would copy every byte once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import Response

from seedpoint.service.api.links import Links
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.checkpoint import Checkpoint, CheckpointFile
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.http.content_disposition import content_disposition
from seedpoint.service.http.json_response import pieces
from seedpoint.service.http.multipart import Multipart
from seedpoint.service.http.negotiation import JSON
from seedpoint.service.http.streaming_response import Body, GeneratedResponse
from seedpoint.service.state import State
from seedpoint.service.statistics.passes import Pass

Parts = list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Mixed:
    """Multipart response of a checkpoint. `resource` is JSON without links.

    `statistics` is JSON, a pass that gathers them from the files sent, or None for no such part.
    """

    service: State
    checkpoint: Checkpoint
    resource: bytes
    statistics: bytes | memoryview | Pass | None
    links: Links

    def response(self, status: int, headers: Mapping[str, str]) -> Response:
        size_bytes = self._size_bytes()
        said = {**headers, "Content-Type": self._frame.media_type}
        return GeneratedResponse(self._body(size_bytes), size_bytes, status=status, headers=said)

    def _size_bytes(self) -> int:
        """Return the length of the whole body."""
        if isinstance(self.statistics, Pass):
            last = _length(self._statistics_part(b"")) + self.statistics.room_bytes + _LENGTH_DIGITS
        else:
            last = _length(self._statistics_part(self.statistics))
        content = sum(len(self._opening(file)) + file.size_bytes for file in self.checkpoint.files)
        return _length(self._resource_part()) + content + last + len(self._frame.end())

    async def _body(self, size_bytes: int) -> Body:
        """Yield the body, then close the pass."""
        try:
            async with aclosing(self._sent(size_bytes)) as chunks:
                async for chunk in chunks:
                    yield chunk
                    del chunk  # Drops the reference: the buffer is free once it is sent.
        finally:
            if isinstance(self.statistics, Pass):
                self.statistics.close()

    async def _sent(self, size_bytes: int) -> Body:
        """Yield the parts; each part's headers go out with its first bytes."""
        before, sent = self._resource_part(), 0
        for file in self.checkpoint.files:
            before.append(self._opening(file))
            async with aclosing(self._content(file)) as chunks:
                async for chunk in chunks:
                    for piece in pieces(before):
                        yield piece
                    before, sent = [], sent + _length(before)
                    yield chunk
                    sent += len(chunk)
                    del chunk  # Drops the reference: the buffer is free once it is sent.
        before += self._statistics_part(await self._found())
        left_bytes = size_bytes - sent - _length(before) - len(self._frame.end())
        for piece in pieces([*before, self._frame.end(left_bytes)]):
            yield piece

    def _content(self, file: CheckpointFile) -> Body:
        first = next(iter(self.checkpoint.layout.files))
        priority: Priority = "first" if file.name == first else "continuing"
        if isinstance(self.statistics, Pass):
            return self.statistics.stream(file, priority)
        return self.service.engine.stream(file, priority=priority)

    async def _found(self) -> bytes | memoryview | None:
        if isinstance(self.statistics, Pass):
            return await self.service.statistics.finish(self.statistics)
        return self.statistics

    @property
    def _frame(self) -> Multipart:
        return Multipart.of(self.checkpoint.id)

    def _resource_part(self) -> Parts:
        parts = self.links.within(self.checkpoint, self.resource)
        location = self.links.checkpoint(self.checkpoint.id)
        headers = _json(location, "checkpoint", _length(parts))
        return [self._frame.opening(headers, first=True), *parts]

    def _opening(self, file: CheckpointFile) -> bytes:
        item = Representation.of(file)
        return self._frame.opening(
            {
                "Content-Type": item.media_type,
                "Content-Length": str(file.size_bytes),
                "Content-Disposition": item.disposition,
                "Content-Location": self.links.file(self.checkpoint.id, file.name),
            }
        )

    def _statistics_part(self, statistics: bytes | memoryview | None) -> Parts:
        if statistics is None:
            return []
        location = self.links.statistics(self.checkpoint.id)
        headers = _json(location, "statistics", len(statistics))
        return [self._frame.opening(headers), statistics]


_LENGTH_DIGITS = 20  # Room for the Content-Length of the statistics.


def _length(parts: Iterable[bytes | memoryview]) -> int:
    return sum(map(len, parts))


def _json(location: str, name: str, size_bytes: int) -> dict[str, str]:
    return {
        "Content-Type": JSON,
        "Content-Length": str(size_bytes),
        "Content-Disposition": content_disposition("inline", name, ".json"),
        "Content-Location": location,
    }
