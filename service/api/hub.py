"""The Hugging Face Hub's read protocol: what its clients need to download a checkpoint.

Protocol: https://huggingface.co/docs/hub/api and what `huggingface_hub` sends and reads.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import HTMLResponse, Response

from seedpoint.service.api import files, hub_documents, representations, schemas
from seedpoint.service.api.dependencies import DigestQuery, Service, read_body
from seedpoint.service.api.links import root_of
from seedpoint.service.checkpoints import hub_revisions as revisions
from seedpoint.service.checkpoints.hub_revisions import Revision
from seedpoint.service.errors import NotFound, RepositoryNotFound, RevisionNotFound
from seedpoint.service.http.json_response import json_response

PATHS_BYTES = 1 << 20  # Of a body that lists paths.
MESSAGE_BYTES = 500  # Of a header that tells what is not there.


class _Repository(Convertor[str]):
    """The name of a repository, with its namespace if it has one, and its kind before that."""

    regex = "[^/]+(?:/[^/]+){0,2}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Inside(_Repository):
    """A path inside a repository: anything, and nothing for its root."""

    regex = r"[\s\S]*"


register_url_convertor("repository", _Repository())
register_url_convertor("inside", _Inside())

router = APIRouter(tags=["hub"])

Repo = Annotated[str, Path(description="`zoo/{preset}` or `checkpoints/{first digits of an id}`.")]
Rev = Annotated[str, Path(description="`main`, `seed-<n>`, or a commit.")]
Inside = Annotated[str, Path(description="A file of the repository; none lists them.")]


async def find_revision(service: Service, repo: Repo, revision: Rev) -> Revision:
    try:
        return await revisions.find(service, repo, revision)
    except (RepositoryNotFound, RevisionNotFound) as error:
        error.headers |= _said_of(error)
        raise


Found = Annotated[Revision, Depends(find_revision)]


@router.head(
    "/{repo:repository}/raw/{revision}/{path:inside}",
    responses=schemas.HUB_FILE,
    name="get_hub_raw_file",
)
@router.get(
    "/{repo:repository}/raw/{revision}/{path:inside}",
    responses=schemas.HUB_FILE,
    name="get_hub_raw_file",
)
@router.head("/{repo:repository}/resolve/{revision}/{path:inside}", responses=schemas.HUB_FILE)
@router.get("/{repo:repository}/resolve/{revision}/{path:inside}", responses=schemas.HUB_FILE)
async def get_hub_file(
    request: Request, service: Service, found: Found, path: Inside, digest: DigestQuery = None
) -> Response:
    """A file, as GET of a checkpoint's files gives it; at the root, links to all of them."""
    if not path:
        return await get_hub_links(request, found)
    if path not in found.checkpoint.layout.files:
        there = ", ".join(list(found.checkpoint.layout.files)[:4])
        raise _missing(found, path, f"there is {there}")
    item = files.representation(found.checkpoint, path)
    headers = {
        "X-Repo-Commit": found.commit,
        "X-Linked-ETag": item.etag,
        "X-Linked-Size": str(item.size_bytes),
        "X-HF-Warning": f"step0; untrained weights, initialized from {_seed(found)}",
    }
    if not found.is_commit:
        headers["Cache-Control"] = "no-cache"
    return await representations.respond(
        request, service, item, digest=digest is not None, headers=headers
    )


@router.head("/{repo:repository}/resolve/{revision}", responses=schemas.HUB_LINKS)
@router.get("/{repo:repository}/resolve/{revision}", responses=schemas.HUB_LINKS)
async def get_hub_links(request: Request, found: Found) -> Response:
    """A page of links to the files of a repository, as fsspec reads directories."""
    base = f"{root_of(request)}/{found.repo}/resolve/{found.name}"
    names = found.checkpoint.layout.files
    rows = "".join(f'<li><a href="{base}/{quote(name)}">{name}</a></li>\n' for name in names)
    page = f"<!doctype html>\n<title>{found.repo}</title>\n<ul>\n{rows}</ul>\n"
    return HTMLResponse(page, headers=_commit(found) | {"X-Content-Type-Options": "nosniff"})


@router.head("/api/models/{repo:repository}/tree/{revision}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/tree/{revision}", responses=schemas.HUB_JSON)
async def get_hub_tree(service: Service, found: Found) -> Response:
    """The files of a repository, all in its root."""
    every = list(found.checkpoint.layout.files)
    return json_response(await hub_documents.entries(service, found, every), 200, _commit(found))


@router.head(
    "/api/models/{repo:repository}/tree/{revision}/{path:inside}", responses=schemas.HUB_JSON
)
@router.get(
    "/api/models/{repo:repository}/tree/{revision}/{path:inside}", responses=schemas.HUB_JSON
)
async def get_hub_folder(service: Service, found: Found, path: Inside) -> Response:
    """The files of a directory: of the root, which is the only one."""
    if path.strip("/"):
        raise _missing(found, path, "it has no directories")
    return await get_hub_tree(service, found)


@router.post("/api/models/{repo:repository}/paths-info/{revision}", responses=schemas.HUB_POST)
async def get_hub_paths(request: Request, service: Service, found: Found) -> Response:
    """Those of the paths asked that are files; a form or JSON, `paths` in either."""
    body = await read_body(request, PATHS_BYTES)
    asked = hub_documents.asked_paths(body, request.headers.get("content-type", ""))
    there = [name for name in dict.fromkeys(asked) if name in found.checkpoint.layout.files]
    return json_response(await hub_documents.entries(service, found, there), 200, _commit(found))


@router.head("/api/models/{repo:repository}/revision/{revision:inside}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/revision/{revision:inside}", responses=schemas.HUB_JSON)
async def get_hub_revision(
    service: Service,
    found: Found,
    blobs: Annotated[bool, Query(description="With each file's size.")] = False,
) -> Response:
    """What a repository is at a revision: its commit and its files."""
    document = await hub_documents.information(service, found, blobs=blobs)
    return json_response(document, 200, _commit(found))


@router.head("/api/models/{repo:repository}/refs", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/refs", responses=schemas.HUB_JSON)
async def get_hub_refs(service: Service, repo: Repo) -> Response:
    """The branches of a repository: `main`. Seeds are beyond number, and not listed."""
    found = await find_revision(service, repo, revisions.MAIN)
    branch: dict[str, Any] = {
        "name": revisions.MAIN,
        "ref": f"refs/heads/{revisions.MAIN}",
        "targetCommit": found.commit,
    }
    document = {"branches": [branch], "tags": [], "converts": [], "pullRequests": []}
    return json_response(document)


@router.head("/api/models/{repo:repository}/commits/{revision}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/commits/{revision}", responses=schemas.HUB_JSON)
async def get_hub_commits(found: Found) -> Response:
    """The history of a repository: the one commit that its revision is."""
    return json_response([hub_documents.commit(found)], 200, _commit(found))


@router.head("/api/models/{repo:repository}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}", responses=schemas.HUB_JSON)
async def get_hub_model(
    service: Service,
    repo: Repo,
    blobs: Annotated[bool, Query(description="With each file's size.")] = False,
) -> Response:
    """What a repository is on `main`."""
    return await get_hub_revision(
        service, await find_revision(service, repo, revisions.MAIN), blobs
    )


def _missing(found: Revision, path: str, hint: str) -> NotFound:
    error = NotFound(f"no file {path[:80]!r} in {found.repo}; {hint}")
    error.headers |= _said_of(error) | _commit(found)
    return error


def _said_of(error: NotFound) -> dict[str, str]:
    """By which clients tell one 404 from another, and what they show."""
    match error:
        case RepositoryNotFound():
            code = "RepoNotFound"
        case RevisionNotFound():
            code = "RevisionNotFound"
        case _:
            code = "EntryNotFound"
    # It may quote anything.
    shown = (char if " " <= char <= "~" else ascii(char)[1:-1] for char in str(error))
    return {"X-Error-Code": code, "X-Error-Message": "".join(shown)[:MESSAGE_BYTES]}


def _commit(found: Revision) -> dict[str, str]:
    return {"X-Repo-Commit": found.commit}


def _seed(found: Revision) -> str:
    return f"seed {found.checkpoint.plan.seed}"
