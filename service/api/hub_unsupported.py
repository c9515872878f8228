"""Parts of the Hub that are not offered here; each route tells the client why."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from seedpoint.service.errors import NotFound, NotOffered, Unauthorized
from seedpoint.service.http.problems import KINDS

router = APIRouter(include_in_schema=False)


@router.api_route("/api/whoami-v2", methods=["GET", "HEAD"])
async def refuse_to_name_a_user() -> Response:
    """Refuse to name the owner of a client's token."""
    message = "the service has no accounts and no tokens"
    said = {"X-Error-Code": "Unauthorized", "X-Error-Message": message}
    raise Unauthorized(message, headers=said)


@router.api_route("/{namespace}/{name}/info/refs", methods=["GET", "HEAD"])
async def refuse_git(request: Request, namespace: str, name: str) -> Response:
    """Refuse git in plain text, the only content that git shows its user."""
    if not request.query_params.get("service", "").startswith("git-"):
        raise NotFound(f"no route {request.url.path}")
    repo = f"{namespace}/{name.removesuffix('.git')}"
    message = f"the service does not offer git; use: hf download {repo}, with HF_ENDPOINT\n"
    return PlainTextResponse(message, KINDS[NotOffered].status, {"Cache-Control": "no-store"})


@router.post("/{namespace}/{name}/info/lfs/objects/batch")
async def refuse_git_lfs(namespace: str, name: str) -> Response:
    repo = f"{namespace}/{name.removesuffix('.git')}"
    raise NotOffered(f"the service does not offer git LFS; GET {repo}/resolve/main/FILE")
