"""Representations over HTTP (RFC 9110): whole, in ranges, and their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from seedpoint.service import errors
from seedpoint.service.api.dependencies import while_connected
from seedpoint.service.checkpoints.checkpoint import Checkpoint, CheckpointFile
from seedpoint.service.generation.byte_source import ByteSource, Span
from seedpoint.service.http import negotiation, ranges
from seedpoint.service.http.byteranges import Byteranges
from seedpoint.service.http.content_disposition import content_disposition
from seedpoint.service.http.json_response import json_response
from seedpoint.service.http.negotiation import JSON, OCTETS
from seedpoint.service.http.streaming_response import UNBUFFERED, Body, GeneratedResponse
from seedpoint.service.state import State
from seedpoint.service.statistics import digests


@dataclass(frozen=True, slots=True)
class Representation:
    """Byte source as HTTP presents it; clients save it as `name` + `suffix`.

    Without a `checkpoint` it is a blob, whose name is its SHA-256.
    """

    checkpoint: Checkpoint | None
    source: ByteSource
    name: str
    suffix: str = ""
    media_type: str = OCTETS

    @classmethod
    def of(cls, file: CheckpointFile) -> Representation:
        media_type = JSON if file.name.endswith(".json") else OCTETS
        return cls(file.checkpoint, file, file.name, media_type=media_type)

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
            "ETag": self.source.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }


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
    size, etag = item.source.size_bytes, item.source.etag
    outcome = ranges.evaluate(request.method, request.headers.items(), etag=etag, size=size)
    said = item.headers | dict(headers or {})
    refused = _without_type(said) | {"Cache-Control": "no-store"}
    match outcome:
        case ranges.NotModified():
            return Response(status_code=304, headers=_without_type(said))
        case ranges.PreconditionFailed():
            raise errors.PreconditionFailed(f"the entity tag is {etag}", headers=refused)
        case ranges.Unsatisfiable():
            raise errors.Unsatisfiable(
                f"no requested range begins within the {size} bytes of the file",
                headers=refused | {"Content-Range": ranges.unsatisfied_range(size)},
            )
    digested = await repr_digest(request, service, item, asked=digest)
    if digest and "Repr-Digest" not in digested:
        progress = {"progress": service.digests.progress(item.source)}
        later = {"Retry-After": "1", "Cache-Control": "no-store"}
        return json_response(progress, 202, digested | later)
    said |= digested
    if request.method == "HEAD":
        return Response(headers=said | UNBUFFERED | {"Content-Length": str(size)})
    if isinstance(outcome, ranges.Ranges):
        return _partial(service, item, outcome.spans, said)
    return GeneratedResponse(service.engine.stream(item.source), size, headers=said)


def _partial(
    service: State, item: Representation, spans: tuple[Span, ...], said: dict[str, str]
) -> Response:
    """Return the 206 with `spans` of `item`; a single one is the body itself (section 15.3.7.1)."""
    source, first = item.source, spans[0]
    if len(spans) == 1:
        start, stop = first
        said["Content-Range"] = ranges.content_range(start, stop, source.size_bytes)
        stream = service.engine.stream(source, first)
        return GeneratedResponse(stream, stop - start, status=206, headers=said)

    def part(span: Span) -> Body:
        return service.engine.stream(source, span, "first" if span == first else "continuing")

    parts = Byteranges(spans, source.size_bytes, item.media_type, source.etag)
    said["Content-Type"] = parts.media_type
    return GeneratedResponse(parts.body(part), parts.content_length, status=206, headers=said)


async def whole(
    request: Request, service: State, item: Representation, headers: Mapping[str, str]
) -> Response:
    """Return the whole `item` as the response to a POST."""
    said = item.headers | dict(headers) | await repr_digest(request, service, item)
    stream = service.engine.stream(item.source)
    return GeneratedResponse(stream, item.source.size_bytes, headers=said)


async def repr_digest(
    request: Request, service: State, item: Representation, *, asked: bool = False
) -> dict[str, str]:
    """Return the `Repr-Digest` of `item` (RFC 9530) if it is known, or requested and quick.

    The query or a `Want-Repr-Digest` header requests it. The response then waits as long as
    `Prefer: wait` or the settings allow, and states that in `Preference-Applied`. Without a
    request, no digest is computed.
    """
    checkpoint, source, said = item.checkpoint, item.source, {}
    if checkpoint is None:
        return {"Repr-Digest": digests.field(item.name)}
    found = await service.digests.known(checkpoint.id, source.etag)
    wants = request.headers.getlist("want-repr-digest")
    if asked or (wants and negotiation.wants_sha256(wants)):
        prefer = negotiation.preferences(request.headers.getlist("prefer"))
        seconds, applied = negotiation.patience(prefer, service.settings.digest_wait_seconds)
        said = negotiation.applied_field(applied)
        if found is None:
            getting = service.digests.get(checkpoint, source, seconds)
            found = await while_connected(request, getting)
    return said if found is None else said | {"Repr-Digest": digests.field(found)}


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Content-")}
