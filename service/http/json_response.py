"""JSON responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from seedpoint.service.http.negotiation import JSON
from seedpoint.service.http.streaming_response import Body, GeneratedResponse

PIECE_BYTES = 1 << 18  # Larger documents are sent in pieces of this size.


def json_bytes(
    content: bytes | memoryview, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a document that is already encoded as JSON.

    A large document is sent piece by piece, so no copy of it waits for a slow client.
    """
    return json_parts([content], status, headers)


def json_parts(
    parts: Sequence[bytes | memoryview],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with an encoded document in parts; large parts are never joined."""
    said = dict(headers or {})
    size_bytes = sum(map(len, parts))
    if size_bytes <= PIECE_BYTES:
        return Response(b"".join(parts), status, said, JSON)
    said["Content-Type"] = JSON
    return GeneratedResponse(_body(parts), size_bytes, status=status, headers=said)


async def _body(parts: Sequence[bytes | memoryview]) -> Body:
    for piece in pieces(parts):
        yield piece


def pieces(parts: Sequence[bytes | memoryview]) -> Iterator[memoryview]:
    """Yield `parts` in order: as one piece if they are small, else in PIECE_BYTES pieces."""
    if sum(map(len, parts)) <= PIECE_BYTES:
        parts = [b"".join(parts)]
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            yield memoryview(part)[start : start + PIECE_BYTES]


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_bytes(to_json(document), status, headers)
