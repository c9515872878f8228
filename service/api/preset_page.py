"""GET of a preset's repository: a page for people who open it in a browser."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seedpoint.models import presets
from seedpoint.models.statistics.describe import totals
from seedpoint.service.api import schemas
from seedpoint.service.api.dependencies import Service
from seedpoint.service.api.hub import find_revision
from seedpoint.service.api.links import Links
from seedpoint.service.api.report import html_page
from seedpoint.service.checkpoints import hub_revisions
from seedpoint.service.checkpoints.hub_revisions import Revision
from seedpoint.service.report.page import preset_page

router = APIRouter(tags=["hub"])

Name = Annotated[str, Path(description="A preset, or `{preset}.seed-<n>`.")]


@router.head("/zoo/{name}", responses=schemas.PRESET_PAGE)
@router.get("/zoo/{name}", responses=schemas.PRESET_PAGE)
async def get_preset_page(request: Request, service: Service, name: Name) -> Response:
    """Return a page that describes a preset, lists its files and shows how to load it."""
    found = await find_revision(service, f"zoo/{name}", hub_revisions.MAIN)
    url = str(request.base_url).rstrip("/")
    return html_page(await run_in_threadpool(_page, url, Links.of(request), name, found))


def _page(url: str, links: Links, name: str, found: Revision) -> str:
    checkpoint, repo = found.checkpoint, f"zoo/{name}"
    preset = presets.get(hub_revisions.split(name)[0])
    described: dict[str, Any] = {
        **preset.summary(),
        "architecture": _class(preset),
        "seed": checkpoint.plan.seed,
        "commit": found.commit,
        "id": checkpoint.id,
        "totals": totals(checkpoint.plan),
        "files": {file.name: file.size_bytes for file in checkpoint.layout.files.values()},
    }
    where = {
        "home": links.to(""),
        "issue": Links(url).checkpoints(),
        "preset": links.preset(preset.name),
        "checkpoint": links.checkpoint(checkpoint.id),
        "report": links.report(checkpoint.id),
        "files": {
            file: links.hub_file(repo, hub_revisions.MAIN, file) for file in described["files"]
        },
    }
    return preset_page(url, where, repo, described)


def _class(preset: presets.Preset) -> str:
    """Return the transformers class that loads the preset."""
    config = preset.architecture.get("config", {})
    return str(next(iter(config.get("architectures") or ()), "AutoModel"))
