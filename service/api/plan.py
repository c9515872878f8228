"""GET and HEAD of a checkpoint's plan, from which a rank computes its own shard."""

from __future__ import annotations

import gzip

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import DigestQuery, Found, Service
from seedpoint.service.api.representations import Representation
from seedpoint.service.generation.bytes_source import BytesSource
from seedpoint.service.http import compression
from seedpoint.service.http.negotiation import JSON

router = APIRouter(prefix="/v1/checkpoints/{id}", tags=["plan"])

LEVEL = 6  # of gzip


@router.head("/plan", responses=schemas.PLAN, openapi_extra=schemas.BYTES)
@router.get("/plan", responses=schemas.PLAN, openapi_extra=schemas.BYTES)
async def get_plan(
    request: Request, service: Service, checkpoint: Found, digest: DigestQuery = None
) -> Response:
    """Return the canonical plan (RFC 8785). Its SHA-256 is the checkpoint's id.

    The plan fixes every byte of every file, so a client computes any of them from it. With
    `Accept-Encoding: gzip` it is compressed; the entity tag, ranges and digests are then those of
    the compressed bytes (RFC 9110, section 8.8.3.3).
    """
    data, coding = checkpoint.plan.canonical, ""
    headers = {"Vary": "Accept-Encoding"}
    if compression.takes_gzip(request.headers.getlist("accept-encoding")):
        coding = headers["Content-Encoding"] = compression.GZIP
        data = await run_in_threadpool(gzip.compress, data, LEVEL, mtime=0)
    source = BytesSource(data, checkpoint.etag(f"plan;{coding}"))
    item = Representation(checkpoint, source, "plan", ".json", JSON)
    return await representations.respond(
        request, service, item, digest=digest is not None, headers=headers
    )
