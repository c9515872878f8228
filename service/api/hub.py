"""Read protocol of the Hugging Face Hub: the routes that its clients use for downloads.

Protocol: https://huggingface.co/docs/hub/api and the requests of `huggingface_hub`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import HTMLResponse, Response

from seedpoint.service.api import hub_documents, representations, schemas
from seedpoint.service.api.dependencies import DigestQuery, Service, read_body
from seedpoint.service.api.links import Links
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.checkpoint import CheckpointFile
from seedpoint.service.checkpoints.hub_revisions import MAIN, Revision, Revisions
from seedpoint.service.errors import NotFound, RepositoryNotFound, RevisionNotFound
from seedpoint.service.http.json_response import json_response

PATHS_BYTES = 1 << 20  # Longest body that lists paths.
MESSAGE_BYTES = 500  # Longest X-Error-Message header.


class _Repository(Convertor[str]):
    """URL convertor of a repository: its name, after an optional kind and an optional namespace."""

    regex = "[^/]+(?:/[^/]+){0,2}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Inside(_Repository):
    """URL convertor of a path inside a repository: any text; empty for the root."""

    regex = r"[\s\S]*"


register_url_convertor("repository", _Repository())
register_url_convertor("inside", _Inside())

router = APIRouter(tags=["hub"])

Repo = Annotated[str, Path(description="`zoo/{preset}` or `checkpoints/{first digits of an id}`.")]
Rev = Annotated[str, Path(description="`main`, `seed-<n>`, or a commit.")]
Inside = Annotated[str, Path(description="A file of the repository; none lists them.")]


async def find_revision(service: Service, repo: Repo, revision: Rev) -> Revision:
    try:
        return await Revisions(service.checkpoints, service.store).find(repo, revision)
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
    """Return a file, as GET of a checkpoint's files does; at the root, links to all files."""
    if not path:
        return await get_hub_links(request, found)
    if path not in found.checkpoint.layout.files:
        there = ", ".join(list(found.checkpoint.layout.files)[:4])
        raise _missing(found, path, f"there is {there}")
    file = found.checkpoint.file(path)
    item, headers = Representation.of(file), _file_headers(found, file)
    return await representations.respond(
        request, service, item, digest=digest is not None, headers=headers
    )


@router.head("/{repo:repository}/resolve/{revision}", responses=schemas.HUB_LINKS)
@router.get("/{repo:repository}/resolve/{revision}", responses=schemas.HUB_LINKS)
async def get_hub_links(request: Request, found: Found) -> Response:
    """Return a page of links to a repository's files, which fsspec reads as a directory."""
    links = Links.of(request)
    files = {
        name: links.hub_file(found.repo, found.name, name) for name in found.checkpoint.layout.files
    }
    rows = "".join(f'<li><a href="{link}">{name}</a></li>\n' for name, link in files.items())
    page = f"<!doctype html>\n<title>{found.repo}</title>\n<ul>\n{rows}</ul>\n"
    return HTMLResponse(page, headers=_commit(found) | {"X-Content-Type-Options": "nosniff"})


@router.head("/api/models/{repo:repository}/tree/{revision}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/tree/{revision}", responses=schemas.HUB_JSON)
async def get_hub_tree(service: Service, found: Found) -> Response:
    """List the files of a repository; all are in its root."""
    every = list(found.checkpoint.layout.files)
    return json_response(await hub_documents.entries(service, found, every), 200, _commit(found))


@router.head(
    "/api/models/{repo:repository}/tree/{revision}/{path:inside}", responses=schemas.HUB_JSON
)
@router.get(
    "/api/models/{repo:repository}/tree/{revision}/{path:inside}", responses=schemas.HUB_JSON
)
async def get_hub_folder(service: Service, found: Found, path: Inside) -> Response:
    """List the files of a directory; the root is the only one."""
    if path.strip("/"):
        raise _missing(found, path, "it has no directories")
    return await get_hub_tree(service, found)


@router.post("/api/models/{repo:repository}/paths-info/{revision}", responses=schemas.HUB_POST)
async def get_hub_paths(request: Request, service: Service, found: Found) -> Response:
    """List the requested paths that are files. The body is a form or JSON with a field `paths`."""
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
    """Return a repository's commit and files at a revision."""
    document = await hub_documents.information(service, found, blobs=blobs)
    return json_response(document, 200, _commit(found))


@router.head("/api/models/{repo:repository}/refs", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/refs", responses=schemas.HUB_JSON)
async def get_hub_refs(service: Service, repo: Repo) -> Response:
    """List the branches of a repository: only `main`. There are too many seeds to list them."""
    found = await find_revision(service, repo, MAIN)
    branch: dict[str, Any] = {
        "name": MAIN,
        "ref": f"refs/heads/{MAIN}",
        "targetCommit": found.commit,
    }
    document = {"branches": [branch], "tags": [], "converts": [], "pullRequests": []}
    return json_response(document)


@router.head("/api/models/{repo:repository}/commits/{revision}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}/commits/{revision}", responses=schemas.HUB_JSON)
async def get_hub_commits(found: Found) -> Response:
    """Return the history of a revision: one commit."""
    return json_response([hub_documents.commit(found)], 200, _commit(found))


@router.head("/api/models/{repo:repository}", responses=schemas.HUB_JSON)
@router.get("/api/models/{repo:repository}", responses=schemas.HUB_JSON)
async def get_hub_model(
    service: Service,
    repo: Repo,
    blobs: Annotated[bool, Query(description="With each file's size.")] = False,
) -> Response:
    """Return a repository's commit and files on `main`."""
    return await get_hub_revision(service, await find_revision(service, repo, MAIN), blobs)


def _missing(found: Revision, path: str, hint: str) -> NotFound:
    error = NotFound(f"no file {path[:80]!r} in {found.repo}; {hint}")
    error.headers |= _said_of(error) | _commit(found)
    return error


def _said_of(error: NotFound) -> dict[str, str]:
    """Return the headers that tell clients which kind of 404 this is, and the message they show."""
    match error:
        case RepositoryNotFound():
            code = "RepoNotFound"
        case RevisionNotFound():
            code = "RevisionNotFound"
        case _:
            code = "EntryNotFound"
    # The message may quote any text; a header holds printable ASCII.
    shown = (char if " " <= char <= "~" else ascii(char)[1:-1] for char in str(error))
    return {"X-Error-Code": code, "X-Error-Message": "".join(shown)[:MESSAGE_BYTES]}


def _file_headers(found: Revision, file: CheckpointFile) -> dict[str, str]:
    """Return the Hub's headers of a file; only what a commit names may be kept without asking."""
    seed = found.checkpoint.plan.seed
    return {
        **_commit(found),
        "X-Linked-ETag": file.etag,
        "X-Linked-Size": str(file.size_bytes),
        "X-HF-Warning": f"step0; untrained weights, initialized from seed {seed}",
        **({} if found.is_commit else {"Cache-Control": "no-cache"}),
    }


def _commit(found: Revision) -> dict[str, str]:
    return {"X-Repo-Commit": found.commit}
