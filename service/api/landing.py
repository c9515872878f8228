"""GET of the root: a landing page for people with a browser."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.service.api import links, schemas
from seedpoint.service.api.dependencies import Service
from seedpoint.service.api.report import html_page
from seedpoint.service.report.page import landing_page
from seedpoint.service.storage.checkpoint_list import Issued
from seedpoint.service.storage.directory import Store
from seedpoint.service.version import seedpoint_version

router = APIRouter(tags=["operations"])

LATEST = 10  # Checkpoints listed.


@router.head("/", responses=schemas.LANDING)
@router.get("/", responses=schemas.LANDING)
async def get_landing_page(request: Request, service: Service) -> Response:
    """Return a page for people, with links and the latest checkpoints."""
    url = str(request.base_url).rstrip("/")
    return html_page(await run_in_threadpool(_page, url, links.root_of(request), service.store))


def _page(url: str, root: str, store: Store) -> str:
    latest, _ = store.page(LATEST, None)
    return landing_page(url, root, seedpoint_version(), [_shown(item) for item in latest])


def _shown(item: Issued) -> dict[str, str]:
    return {"id": item.id, "created": f"{item.created:%Y-%m-%d %H:%M:%S} UTC"}
