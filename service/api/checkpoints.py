"""POST and GET of checkpoints at /v1/checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.service.api import page_cursors, representations, schemas
from seedpoint.service.api.dependencies import Found, Service, accepted, read_body, while_connected
from seedpoint.service.api.links import Links
from seedpoint.service.api.multipart_checkpoint import Mixed
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.errors import NotAcceptable
from seedpoint.service.http import negotiation
from seedpoint.service.http.json_response import json_parts, json_response
from seedpoint.service.http.negotiation import JSON, MIXED, OCTETS
from seedpoint.service.state import State
from seedpoint.service.statistics.passes import Pass

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])


@router.post("", responses=schemas.POST_CHECKPOINT, openapi_extra=schemas.SPEC_BODY)
async def issue_checkpoint(request: Request, service: Service) -> Response:
    """Issue the checkpoint of a spec. The same spec always gives the same checkpoint.

    `application/json` (the default) is the checkpoint resource with its statistics. If these
    take longer than a few seconds (`Prefer: wait=N`), the answer is 202 with progress, and the
    statistics follow at their link. `Prefer: respond-async` answers 202 at once;
    `Prefer: return=minimal` computes no statistics.
    `application/octet-stream` is the file. `multipart/mixed` is everything in one pass: the
    resource, each file, then the statistics; each part has its `Content-Location` and
    `Content-Length`.
    """
    negotiation.require_json(request.headers.get("content-type"))
    negotiation.require_identity(request.headers.getlist("content-encoding"))
    offer = negotiation.choose(accepted(request), (JSON, OCTETS, MIXED))
    body = await read_body(request, service.settings.max_body_bytes)
    checkpoint, is_new = await while_connected(request, service.checkpoints.issue(body))
    if offer == OCTETS:
        return await _as_file(request, service, checkpoint)
    answer = _as_parts if offer == MIXED else _as_resource
    return await answer(request, service, checkpoint, 201 if is_new else 200)


@router.head("", responses=schemas.PAGE)
@router.get("", responses=schemas.PAGE)
async def list_checkpoints(
    request: Request,
    service: Service,
    limit: Annotated[int | None, Query(ge=1, le=1000, description="Entries on a page.")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> Response:
    """List the issued checkpoints, newest first, with the names that their specs gave them."""
    size, links = limit or service.settings.page_size, Links.of(request)
    after = page_cursors.decode(cursor) if cursor else None
    found, last = await run_in_threadpool(service.store.page, size, after)
    following = None if last is None else page_cursors.encode(last)
    about = await run_in_threadpool(service.store.about_each, [item.id for item in found])
    items = [
        {
            "id": item.id,
            "created": item.created.isoformat(),
            **about.get(item.id, {}),
            "links": {"self": links.checkpoint(item.id)},
        }
        for item in found
    ]
    further = {"next": links.checkpoints(size, following)} if following else {}
    return json_response({"checkpoints": items, "next": following, "links": further})


@router.head("/{id}", responses=schemas.CHECKPOINT)
@router.get("/{id}", responses=schemas.CHECKPOINT)
async def get_checkpoint(request: Request, service: Service, checkpoint: Found) -> Response:
    """Return the checkpoint resource, with its statistics if they are already known."""
    statistics = await service.statistics.known(checkpoint.id)
    return json_parts(await _document(request, service, checkpoint, statistics))


async def _as_resource(
    request: Request, service: Service, checkpoint: Checkpoint, status: int
) -> Response:
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    if prefer.get("return") == "minimal":
        headers = _headers(request, checkpoint, ["return=minimal"])
        return json_parts(await _document(request, service, checkpoint), status, headers)
    seconds, applied = negotiation.patience(prefer, service.settings.statistics_wait_seconds)
    headers = _headers(request, checkpoint, applied)
    getting = service.statistics.get(checkpoint, seconds, asked=False)
    found = await while_connected(request, getting)
    if isinstance(found, memoryview):
        return json_parts(await _document(request, service, checkpoint, found), status, headers)
    document = await _document(request, service, checkpoint, progress=to_json(found))
    later = {} if found["state"] == "not-begun" else {"Retry-After": "1"}
    return json_parts(document, 202, headers | later | {"Cache-Control": "no-store"})


async def _as_file(request: Request, service: Service, checkpoint: Checkpoint) -> Response:
    names = list(checkpoint.layout.files)
    if len(names) > 1 and any(name.endswith(".index.json") for name in names):
        raise NotAcceptable(
            f"the checkpoint is in {len(names)} files and cannot be one body of one file; "
            f"issue it as {MIXED}, or as JSON and get {', '.join(names[:3])}, ..."
        )
    item = Representation.of(checkpoint.file(names[0]))
    headers = _headers(request, checkpoint, [])
    headers["Content-Location"] = Links.of(request).file(checkpoint.id, names[0])
    return await representations.whole(request, service, item, headers)


async def _as_parts(
    request: Request, service: Service, checkpoint: Checkpoint, status: int
) -> Response:
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    links = Links.of(request)
    if prefer.get("return") == "minimal":
        resource = await service.checkpoints.resource(checkpoint)
        headers = _headers(request, checkpoint, ["return=minimal"])
        return Mixed(service, checkpoint, resource, None, links).response(status, headers)
    statistics: memoryview | Pass | None = await service.statistics.known(checkpoint.id)
    if statistics is None:
        statistics = await service.statistics.begin(checkpoint)
    resource = await service.checkpoints.resource(checkpoint)
    mixed = Mixed(service, checkpoint, resource, statistics, links)
    return await run_in_threadpool(mixed.response, status, _headers(request, checkpoint, []))


def _headers(request: Request, checkpoint: Checkpoint, applied: Sequence[str]) -> dict[str, str]:
    location = Links.of(request).checkpoint(checkpoint.id)
    headers = {"Vary": "Accept, Prefer", "Location": location}
    return headers | negotiation.applied_field(applied)


async def _document(
    request: Request,
    service: State,
    checkpoint: Checkpoint,
    statistics: memoryview | None = None,
    progress: bytes | None = None,
) -> list[bytes | memoryview]:
    """Return the resource as JSON in parts, with the given members added. Raises Busy."""
    resource = await service.checkpoints.resource(checkpoint)
    linked, rest = Links.of(request).within(checkpoint, resource)
    shared = service.documents.share(checkpoint.id, "resource", rest[:-1])
    parts: list[bytes | memoryview] = [linked, shared]
    for name, member in (("statistics", statistics), ("progress", progress)):
        if member is not None:
            parts += [b',"%s":' % name.encode(), member]
    return [*parts, b"}"]
