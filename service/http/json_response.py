"""JSON bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from seedpoint.service.http.negotiation import JSON
from seedpoint.service.http.streaming_response import Body, GeneratedResponse
from seedpoint.service.statistics.progress import Document

PIECE_BYTES = 1 << 18


def json_bytes(
    content: bytes | memoryview, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A document that is JSON already.

    A large one goes out piece by piece, so that no copy of it waits for a slow reader.
    """
    return json_parts([content], status, headers)


def json_parts(
    parts: Sequence[bytes | memoryview],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """As `json_bytes`, of a document in parts; large ones are never copied together."""
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
    """`parts` one after another: as one piece if they are small, else each in small ones."""
    if sum(map(len, parts)) <= PIECE_BYTES:
        parts = [b"".join(parts)]
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            yield memoryview(part)[start : start + PIECE_BYTES]


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_bytes(to_json(document), status, headers)


def progress_headers(progress: Document) -> dict[str, str]:
    """What a 202 says beside it: when to look again, unless nothing has been begun."""
    later = {} if progress["state"] == "not-begun" else {"Retry-After": "1"}
    return {"Cache-Control": "no-store", **later}
