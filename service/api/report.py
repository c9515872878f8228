"""GET of a checkpoint's report: a page for people."""

from __future__ import annotations

import json
from functools import partial

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.service.api import schemas
from seedpoint.service.api.dependencies import Found, Service, while_connected
from seedpoint.service.api.links import Links
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.http import negotiation
from seedpoint.service.report import page as report
from seedpoint.service.statistics.progress import Document

router = APIRouter(prefix="/v1/checkpoints/{id}", tags=["statistics"])


@router.head("/report", responses=schemas.REPORT, openapi_extra=schemas.PREFER)
@router.get("/report", responses=schemas.REPORT, openapi_extra=schemas.PREFER)
async def get_report(request: Request, service: Service, checkpoint: Found) -> Response:
    """Return the statistics as a page with plots; while they are computed, a 202 that reloads."""
    prefer = negotiation.preferences(request.headers.getlist("prefer"))
    seconds, _ = negotiation.patience(prefer, service.settings.statistics_wait_seconds)
    found = await while_connected(request, service.statistics.get(checkpoint, seconds))
    resource = await service.checkpoints.resource(checkpoint)
    page = await run_in_threadpool(_page, checkpoint, Links.of(request), resource, found)
    if isinstance(found, memoryview):
        return html_page(page)
    return html_page(page, 202, {"Retry-After": "1"})


def _page(
    checkpoint: Checkpoint, links: Links, resource: bytes, found: memoryview | Document
) -> str:
    where = links.of_checkpoint(checkpoint.id, checkpoint.layout.files)
    shown = json.loads(resource) | {"links": where}
    if not isinstance(found, memoryview):
        return report.waiting_page(shown, found)
    tensor_link = partial(links.tensor, checkpoint.id)
    return report.page(checkpoint.plan, shown, json.loads(bytes(found)), tensor_link)


def html_page(page: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return `page` as HTML; unless `headers` override the policy, it blocks scripts and loads."""
    said = safe_headers(report.policy()) | (headers or {})
    return Response(page.encode(), status, said, "text/html; charset=utf-8")


def safe_headers(policy: str) -> dict[str, str]:
    """Return headers that restrict browsers: `policy`, no referrer, no guess at the type."""
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
