"""JSON bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from service.api.negotiation import JSON
from service.statistics.progress import Document
from service.streaming.response import Body, GeneratedResponse

PIECE_BYTES = 1 << 18


def json_bytes(
    content: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A document that is JSON already.

    A large one goes out piece by piece, so that no copy of it waits for a slow reader.
    """
    said = dict(headers or {})
    if len(content) <= PIECE_BYTES:
        return Response(content, status, said, JSON)
    said["Content-Type"] = JSON
    return GeneratedResponse(_pieces(content), len(content), status=status, headers=said)


async def _pieces(content: bytes) -> Body:
    for start in range(0, len(content), PIECE_BYTES):
        yield memoryview(content)[start : start + PIECE_BYTES]


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_bytes(to_json(document), status, headers)


def progress_headers(progress: Document) -> dict[str, str]:
    """What a 202 says beside it: when to look again, unless nothing has been begun."""
    later = {} if progress["state"] == "not-begun" else {"Retry-After": "1"}
    return {"Cache-Control": "no-store", **later}
