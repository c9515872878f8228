"""Bytes over HTTP: one representation, asked for whole or in part (RFC 9110)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from service import errors
from service.api import ranges
from service.engine import Engine, Read
from service.negotiation import OCTETS
from service.streaming import GeneratedResponse

MAX_RANGES = 1  # Several ranges are answered with the whole, as RFC 9110 allows.


@dataclass(frozen=True, slots=True)
class Representation:
    """A file that is computed when it is read: `size_bytes` bytes that never change."""

    filename: str
    size_bytes: int
    etag: str
    read: Read
    media_type: str = OCTETS

    @property
    def headers(self) -> dict[str, str]:
        """What is said of it whichever part is sent, and by HEAD and 304 too."""
        disposition = "attachment" if self.media_type == OCTETS else "inline"
        return {
            "Content-Type": self.media_type,
            "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(self.filename, '')}",
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }


def respond(
    request: Request,
    engine: Engine,
    item: Representation,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a GET or HEAD of `item`; HEAD, 304, 412 and 416 compute nothing."""
    size = item.size_bytes
    outcome = ranges.evaluate(
        request.method, request.headers.items(), etag=item.etag, size=size, max_ranges=MAX_RANGES
    )
    said = item.headers | dict(headers or {})
    match outcome:
        case ranges.NotModified():
            return Response(status_code=304, headers=_without_type(said))
        case ranges.PreconditionFailed():
            raise errors.PreconditionFailed(f"the entity tag is {item.etag}")
        case ranges.Unsatisfiable():
            raise errors.Unsatisfiable(
                f"no range asked begins within the {size} bytes",
                headers={"Content-Range": ranges.unsatisfied_range(size)},
            )
        case ranges.Ranges(spans=((start, stop), *_)):
            said["Content-Range"] = ranges.content_range(start, stop, size)
            status = 206
        case _:
            start, stop, status = 0, size, 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=said | {"Content-Length": str(size)})
    return GeneratedResponse(
        engine.body(item.read, start, stop), stop - start, status=status, headers=said
    )


def whole(engine: Engine, item: Representation, headers: Mapping[str, str]) -> Response:
    """`item` as the answer to a POST."""
    body = engine.body(item.read, 0, item.size_bytes)
    return GeneratedResponse(body, item.size_bytes, headers=item.headers | dict(headers))


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Content-")}
