"""Representations over HTTP (RFC 9110): whole, in ranges, and their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from seedpoint.service import errors
from seedpoint.service.api.dependencies import while_connected
from seedpoint.service.generation.engine import Cuts, Needs, Read, evenly, nothing
from seedpoint.service.http import negotiation, ranges
from seedpoint.service.http.byteranges import Byteranges
from seedpoint.service.http.content_disposition import content_disposition
from seedpoint.service.http.json_response import json_response
from seedpoint.service.http.negotiation import OCTETS
from seedpoint.service.http.streaming_response import UNBUFFERED, Body, GeneratedResponse
from seedpoint.service.state import State
from seedpoint.service.statistics import digests


@dataclass(frozen=True, slots=True)
class Representation:
    """A file of a checkpoint, computed as it is read; its `size_bytes` bytes never change.

    Clients save it as `name` + `suffix`. It is `light` if a small range takes microseconds:
    nothing is read from disk, and nothing is computed only to be discarded. `tensors` is the
    number of tensors in its checkpoint.
    """

    checkpoint: str
    tensors: int
    name: str
    size_bytes: int
    etag: str
    read: Read
    suffix: str = ""
    cuts: Cuts = evenly
    needs: Needs = nothing
    media_type: str = OCTETS
    light: bool = False

    @property
    def disposition(self) -> str:
        kind = "attachment" if self.media_type == OCTETS else "inline"
        return content_disposition(kind, self.name, self.suffix)

    @property
    def headers(self) -> dict[str, str]:
        """Headers common to full and partial responses, HEAD and 304."""
        return {
            "Content-Type": self.media_type,
            "Content-Disposition": self.disposition,
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }

    def body(
        self,
        service: State,
        start: int = 0,
        stop: int | None = None,
        *,
        background: bool = False,
        begun: bool = False,
    ) -> Body:
        """Return its bytes [start, stop); `begun` marks a later part of a response."""
        stop = self.size_bytes if stop is None else stop
        return service.engine.body(
            *(self.read, start, stop, self.cuts),
            needs=self.needs,
            background=background,
            begun=begun,
            light=self.light,
        )


async def respond(
    request: Request,
    service: State,
    item: Representation,
    *,
    digest: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response to a GET or HEAD of `item`; HEAD, 304, 412 and 416 compute no body.

    With `digest` (requested in the query), it has a `Repr-Digest` or is a 202 with progress.
    Raises: PreconditionFailed, Unsatisfiable.
    """
    size = item.size_bytes
    outcome = ranges.evaluate(request.method, request.headers.items(), etag=item.etag, size=size)
    said = item.headers | dict(headers or {})
    refused = _without_type(said) | {"Cache-Control": "no-store"}
    match outcome:
        case ranges.NotModified():
            return Response(status_code=304, headers=_without_type(said))
        case ranges.PreconditionFailed():
            raise errors.PreconditionFailed(f"the entity tag is {item.etag}", headers=refused)
        case ranges.Unsatisfiable():
            raise errors.Unsatisfiable(
                f"no requested range begins within the {size} bytes of the file",
                headers=refused | {"Content-Range": ranges.unsatisfied_range(size)},
            )
    digested = await repr_digest(request, service, item, asked=digest)
    if digest and "Repr-Digest" not in digested:
        progress = {"progress": service.digests.progress(item.etag, size)}
        later = {"Retry-After": "1", "Cache-Control": "no-store"}
        return json_response(progress, 202, digested | later)
    said |= digested
    if request.method == "HEAD":
        return Response(headers=said | UNBUFFERED | {"Content-Length": str(size)})
    if isinstance(outcome, ranges.Ranges):
        return _partial(service, item, outcome.spans, said)
    return GeneratedResponse(item.body(service), size, headers=said)


def _partial(
    service: State, item: Representation, spans: tuple[tuple[int, int], ...], said: dict[str, str]
) -> Response:
    """Return the 206 with `spans` of `item`; a single one is the body itself (section 15.3.7.1)."""
    if len(spans) == 1:
        ((start, stop),) = spans
        said["Content-Range"] = ranges.content_range(start, stop, item.size_bytes)
        return GeneratedResponse(
            item.body(service, start, stop), stop - start, status=206, headers=said
        )
    parts = Byteranges(spans, item.size_bytes, item.media_type, item.etag)
    first = spans[0]
    body = parts.body(lambda *span: item.body(service, *span, begun=span != first))
    said["Content-Type"] = parts.media_type
    return GeneratedResponse(body, parts.content_length, status=206, headers=said)


async def whole(
    request: Request, service: State, item: Representation, headers: Mapping[str, str]
) -> Response:
    """Return the whole `item` as the response to a POST."""
    said = item.headers | dict(headers) | await repr_digest(request, service, item)
    return GeneratedResponse(item.body(service), item.size_bytes, headers=said)


async def repr_digest(
    request: Request, service: State, item: Representation, *, asked: bool = False
) -> dict[str, str]:
    """Return the `Repr-Digest` of `item` (RFC 9530) if it is known, or requested and quick.

    The query or a `Want-Repr-Digest` header requests it. The response then waits as long as
    `Prefer: wait` or the settings allow, and states that in `Preference-Applied`. Without a
    request, no digest is computed.
    """
    found = await service.digests.known(item.checkpoint, item.etag)
    wanted = asked or negotiation.wants_sha256(request.headers.getlist("want-repr-digest"))
    prefer = negotiation.preferences(request.headers.getlist("prefer") if wanted else [])
    seconds, applied = negotiation.patience(prefer, service.settings.digest_wait_seconds)
    said = negotiation.applied_field(applied)
    if found is None and wanted:
        getting = service.digests.get(
            item.checkpoint,
            item.etag,
            body=lambda: item.body(service, background=True),
            size_bytes=item.size_bytes,
            tensors=item.tensors,
            wait_seconds=seconds,
        )
        found = await while_connected(request, getting)
    return said if found is None else said | {"Repr-Digest": digests.field(found)}


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Content-")}
