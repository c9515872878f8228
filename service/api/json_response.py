"""JSON bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from service.negotiation import JSON


def json_bytes(
    content: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A document that is JSON already."""
    return Response(content, status, dict(headers or {}), JSON)


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_bytes(to_json(document), status, headers)
