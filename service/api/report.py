"""GET of a checkpoint's report: a page for people."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api import negotiation, schemas
from service.api.requests import Found, Service, while_connected
from service.checkpoints import Checkpoint
from service.report import page as report
from service.statistics.progress import Document

router = APIRouter(prefix="/v1/checkpoints/{id}", tags=["statistics"])


@router.head("/report", responses=schemas.REPORT, openapi_extra=schemas.PREFER)
@router.get("/report", responses=schemas.REPORT, openapi_extra=schemas.PREFER)
async def get(request: Request, service: Service, checkpoint: Found) -> Response:
    """The statistics as a page with plots; 202 and a page that looks again while computed."""
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    seconds, _ = negotiation.patience(prefer, service.settings.statistics_wait_seconds)
    found = await while_connected(request, service.statistics.get(checkpoint, seconds))
    resource = await service.checkpoints.resource(checkpoint)
    if isinstance(found, memoryview):
        return html_page(await run_in_threadpool(_page, checkpoint, resource, found))
    page = await run_in_threadpool(_waiting_page, resource, found)
    return html_page(page, 202, {"Retry-After": "1"})


def _page(checkpoint: Checkpoint, resource: bytes, statistics: memoryview) -> str:
    return report.page(checkpoint.plan, json.loads(resource), json.loads(bytes(statistics)))


def _waiting_page(resource: bytes, progress: Document) -> str:
    return report.waiting_page(json.loads(resource), progress)


def html_page(page: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A page of ours, under the policy that lets nothing in it run or load."""
    said = {
        "Content-Security-Policy": report.policy(),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    return Response(page.encode(), status, said | (headers or {}), "text/html; charset=utf-8")
