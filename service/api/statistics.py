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
    """Return statistics by tensor and layer; while they are computed, a 202 with progress.

    Each observed value stands beside the expected one. The request begins the computation if
    the queue has room; otherwise the progress is `not-begun`, and a later request tries again.
    """
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    seconds, applied = negotiation.patience(prefer, service.settings.statistics_wait_seconds)
    headers = negotiation.applied_field(applied)
    found = await while_connected(request, service.statistics.get(checkpoint, seconds))
    if isinstance(found, memoryview):
        return json_bytes(found, 200, headers)
    later = {"Retry-After": "1", "Cache-Control": "no-store"}  # A repeated request may begin them.
    return json_response({"progress": found}, 202, headers | later)
