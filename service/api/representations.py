"""Bytes over HTTP: one representation, asked for whole or in part (RFC 9110), and its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from service import digests, errors, negotiation
from service.api import ranges
from service.api.disposition import content_disposition
from service.api.json_response import json_response
from service.api.requests import while_connected
from service.engine import Cuts, Read, evenly
from service.negotiation import OCTETS
from service.state import State
from service.streaming import Body, GeneratedResponse

MAX_RANGES = 1  # Several ranges are answered with the whole, as RFC 9110 allows.


@dataclass(frozen=True, slots=True)
class Representation:
    """A file of a checkpoint, computed when it is read: `size_bytes` that never change.

    It is called `name` and `suffix` where it is saved.
    """

    checkpoint: str
    name: str
    size_bytes: int
    etag: str
    read: Read
    suffix: str = ""
    cuts: Cuts = evenly
    media_type: str = OCTETS

    @property
    def disposition(self) -> str:
        kind = "attachment" if self.media_type == OCTETS else "inline"
        return content_disposition(kind, self.name, self.suffix)

    @property
    def headers(self) -> dict[str, str]:
        """What is said of it whichever part is sent, and by HEAD and 304 too."""
        return {
            "Content-Type": self.media_type,
            "Content-Disposition": self.disposition,
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }

    def body(self, service: State, start: int = 0, stop: int | None = None) -> Body:
        """Its bytes [start, stop)."""
        stop = self.size_bytes if stop is None else stop
        return service.engine.body(self.read, start, stop, self.cuts)


async def respond(
    request: Request,
    service: State,
    item: Representation,
    *,
    digest: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a GET or HEAD of `item`; HEAD, 304, 412 and 416 compute nothing.

    With `digest` (the query asks for one) there is a `Repr-Digest` or a 202 with progress.
    """
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
    digested = await repr_digest(request, service, item, asked=digest)
    if digest and not digested:
        progress = {"progress": service.digests.progress(item.etag)}
        return json_response(progress, 202, {"Retry-After": "1", "Cache-Control": "no-store"})
    said |= digested
    if request.method == "HEAD":
        return Response(status_code=status, headers=said | {"Content-Length": str(size)})
    body = item.body(service, start, stop)
    return GeneratedResponse(body, stop - start, status=status, headers=said)


async def whole(
    request: Request, service: State, item: Representation, headers: Mapping[str, str]
) -> Response:
    """`item` as the answer to a POST."""
    said = item.headers | dict(headers) | await repr_digest(request, service, item)
    return GeneratedResponse(item.body(service), item.size_bytes, headers=said)


async def repr_digest(
    request: Request, service: State, item: Representation, *, asked: bool = False
) -> dict[str, str]:
    """The `Repr-Digest` of `item` (RFC 9530) if it is known, or wanted and soon computed.

    It is wanted when the query asks for it, or a `Want-Repr-Digest`; then an answer waits
    for it as long as `Prefer: wait` or the settings say. Nothing is computed unasked.
    """
    found = await service.digests.known(item.checkpoint, item.etag)
    wanted = asked or negotiation.wants_sha256(request.headers.getlist("want-repr-digest"))
    if found is None and wanted:
        prefer = negotiation.preferences(request.headers.getlist("prefer"))
        seconds, _ = negotiation.patience(prefer, service.settings.digest_wait_seconds)
        getting = service.digests.get(
            item.checkpoint,
            item.etag,
            body=lambda: item.body(service),
            size_bytes=item.size_bytes,
            wait_seconds=seconds,
        )
        found = await while_connected(request, getting)
    return {} if found is None else {"Repr-Digest": digests.field(found)}


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Content-")}
