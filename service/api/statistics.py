"""GET of a checkpoint's statistics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from seedpoint.service.api import schemas
from seedpoint.service.api.dependencies import Found, Service, while_connected
from seedpoint.service.http import negotiation
from seedpoint.service.http.json_response import json_bytes, json_response

router = APIRouter(prefix="/v1/checkpoints/{id}", tags=["statistics"])


@router.head("/statistics", responses=schemas.STATISTICS, openapi_extra=schemas.PREFER)
@router.get("/statistics", responses=schemas.STATISTICS, openapi_extra=schemas.PREFER)
async def get_statistics(request: Request, service: Service, checkpoint: Found) -> Response:
    """Observed beside expected, by tensor and layer; 202 with progress while it is computed.

    They are begun if nothing else has, when there is room: otherwise the progress is
    `not-begun`, and to ask again is to try again.
    """
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    seconds, applied = negotiation.patience(prefer, service.settings.statistics_wait_seconds)
    headers = negotiation.applied_field(applied)
    found = await while_connected(request, service.statistics.get(checkpoint, seconds))
    if isinstance(found, memoryview):
        return json_bytes(found, 200, headers)
    later = {"Retry-After": "1", "Cache-Control": "no-store"}  # To ask again is to begin them.
    return json_response({"progress": found}, 202, headers | later)
