"""GET of the root: a landing page for people with a browser."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.service.api import schemas
from seedpoint.service.api.dependencies import Service
from seedpoint.service.api.links import Links
from seedpoint.service.api.report import html_page
from seedpoint.service.report.page import landing_page
from seedpoint.service.storage.checkpoint_store import CheckpointStore, Issued
from seedpoint.service.version import seedpoint_version

router = APIRouter(tags=["operations"])

LATEST = 10  # Checkpoints listed.
PAGES = {
    "the API": "docs",
    "presets": "v1/presets",
    "architectures": "v1/architectures",
    "initializers and transforms": "v1/initializers",
    "readiness": "readyz",
    "metrics": "metrics",
    "versions": "v1/version",
}


@router.head("/", responses=schemas.LANDING)
@router.get("/", responses=schemas.LANDING)
async def get_landing_page(request: Request, service: Service) -> Response:
    """Return a page for people, with links and the latest checkpoints."""
    url = str(request.base_url).rstrip("/")
    return html_page(await run_in_threadpool(_page, url, Links.of(request), service.store))


def _page(url: str, links: Links, store: CheckpointStore) -> str:
    latest, _ = store.page(LATEST)
    about = store.about_each(item.id for item in latest)
    shown = [_shown(item, links, about.get(item.id, {}).get("name", "")) for item in latest]
    pages = {title: links.to(path) for title, path in PAGES.items()}
    where = {"issue": Links(url).checkpoints(), "checkpoints": links.checkpoints()}
    return landing_page(url, where, pages, seedpoint_version(), shown)


def _shown(item: Issued, links: Links, name: str) -> dict[str, str]:
    created = f"{item.created:%Y-%m-%d %H:%M:%S} UTC"
    return {"id": item.id, "name": name, "created": created, "report": links.report(item.id)}
