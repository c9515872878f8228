"""POST and GET of checkpoints: /v1/checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import negotiation
from service.api import files, representations, schemas
from service.api.json_response import json_bytes, json_response
from service.api.requests import Found, Service, read_body, while_connected
from service.checkpoints import Checkpoint
from service.errors import NotAcceptable
from service.negotiation import JSON, OCTETS

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])

VARY = {"Vary": "Accept, Prefer"}


@router.post("", responses=schemas.POST_CHECKPOINT, openapi_extra=schemas.SPEC_BODY)
async def issue(request: Request, service: Service) -> Response:
    """Issues the checkpoint of a spec. The same spec gives the same checkpoint, always.

    As JSON (the default) with statistics, unless they take longer than a few seconds: then
    202, and they follow at their link. `Prefer: respond-async` answers 202 at once,
    `Prefer: return=minimal` computes none. As `application/octet-stream`, the file.
    """
    negotiation.require_json(request.headers.get("content-type"))
    offer = negotiation.choose(request.headers.get("accept"), (JSON, OCTETS))
    body = await read_body(request, service.settings.max_body_bytes)
    checkpoint, is_new = await while_connected(request, service.checkpoints.issue(body))
    if offer == OCTETS:
        return _as_file(service, checkpoint)
    return await _as_resource(request, service, checkpoint, is_new=is_new)


@router.get("", responses=schemas.PAGE)
async def page(
    service: Service,
    limit: Annotated[int | None, Query(ge=1, le=1000, description="Entries on a page.")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """What has been issued, newest first."""
    size = limit or service.settings.page_size
    found, following = await run_in_threadpool(service.store.page, size, cursor)
    items = [
        {
            "id": item.id,
            "created": datetime.fromtimestamp(item.created_ns / 1e9, UTC).isoformat(),
            "links": {"self": f"/v1/checkpoints/{item.id}"},
        }
        for item in found
    ]
    links = {"next": f"/v1/checkpoints?limit={size}&cursor={following}"} if following else {}
    return json_response({"checkpoints": items, "next": following, "links": links})


@router.head("/{id}", responses=schemas.CHECKPOINT)
@router.get("/{id}", responses=schemas.CHECKPOINT)
async def get(service: Service, checkpoint: Found) -> Response:
    """The checkpoint resource, with its statistics if they are known already."""
    statistics = await run_in_threadpool(service.statistics.known, checkpoint.id)
    return json_bytes(await _document(checkpoint, statistics))


async def _as_resource(
    request: Request, service: Service, checkpoint: Checkpoint, *, is_new: bool
) -> Response:
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    headers = VARY | {"Location": f"/v1/checkpoints/{checkpoint.id}"}
    status = 201 if is_new else 200
    if prefer.get("return") == "minimal":
        document = await _document(checkpoint, None)
        return json_bytes(document, status, headers | {"Preference-Applied": "return=minimal"})
    wait_seconds = service.settings.statistics_wait_seconds
    if "respond-async" in prefer:
        wait_seconds = 0
        headers["Preference-Applied"] = "respond-async"
    statistics = await while_connected(request, service.statistics.get(checkpoint, wait_seconds))
    status = 202 if statistics is None else status
    return json_bytes(await _document(checkpoint, statistics), status, headers)


def _as_file(service: Service, checkpoint: Checkpoint) -> Response:
    names = list(checkpoint.layout.files)
    if len(names) > 1 and any(name.endswith(".index.json") for name in names):
        raise NotAcceptable(
            f"the checkpoint is in {len(names)} files and cannot be one body; "
            f"issue it as JSON and get {', '.join(names[:3])}, ..."
        )
    item = files.representation(checkpoint, names[0])
    location = f"/v1/checkpoints/{checkpoint.id}"
    headers = {"Location": location, "Content-Location": f"{location}/files/{names[0]}"}
    return representations.whole(service.engine, item, VARY | headers)


async def _document(checkpoint: Checkpoint, statistics: bytes | None) -> bytes:
    resource = await run_in_threadpool(lambda: checkpoint.resource)
    if statistics is None:
        return resource
    return resource[:-1] + b',"statistics":' + statistics + b"}"
