"""Checkpoint as a torch.distributed.checkpoint directory: its list, its files, other layouts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from seedpoint.models.errors import SpecError
from seedpoint.models.files.dcp.directory import METADATA
from seedpoint.service.api import dcp_keys, representations, schemas
from seedpoint.service.api.dependencies import Found, Service, read_body
from seedpoint.service.api.links import Links
from seedpoint.service.api.report import html_page
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.checkpoints.dcp import OpenDirectory
from seedpoint.service.checkpoints.dcp_options import DcpOptions, parse_options
from seedpoint.service.errors import InvalidBody, InvalidParameter
from seedpoint.service.http import negotiation
from seedpoint.service.http.json_response import json_response
from seedpoint.service.planning.strict_json import parse_json
from seedpoint.service.state import State

OPTIONS_BYTES = 1 << 16  # Longest body of options; a key takes far less.

router = APIRouter(prefix="/v1/checkpoints/{id}/dcp", tags=["dcp"])

Key = Annotated[
    str, Path(description="A grid, rows x columns: `8x8`; or the key in the `Location` of a POST.")
]
FileName = Annotated[str, Path(description="`.metadata`, or `__{k}_0.distcp` of chunk k.")]


async def _default(service: Service, checkpoint: Found) -> OpenDirectory:
    return await service.dcp.open(checkpoint, DcpOptions())


async def _chosen(service: Service, checkpoint: Found, key: Key) -> OpenDirectory:
    try:
        return await service.dcp.open(checkpoint, dcp_keys.decode(key))
    except SpecError as error:
        raise InvalidParameter(error.faults[0].message, path="path.key") from None


Default = Annotated[OpenDirectory, Depends(_default)]
Chosen = Annotated[OpenDirectory, Depends(_chosen)]


@router.post("", responses=schemas.POST_DCP, openapi_extra=schemas.DCP_BODY)
async def lay_out_dcp(request: Request, service: Service, checkpoint: Found) -> Response:
    """Return the URL of a directory with another grid or other names.

    Nothing is computed or stored for it: the URL says everything.
    """
    negotiation.require_json(request.headers)
    body = await read_body(request, OPTIONS_BYTES)
    try:
        options = parse_options(parse_json(body))
        key = dcp_keys.encode(options)
        directory = await service.dcp.open(checkpoint, options)
    except SpecError as error:
        raise InvalidBody(error.faults) from None
    link = Links.of(request).dcp(checkpoint.id, key)
    document = {
        "links": {"self": link, "checkpoint": Links.of(request).checkpoint(checkpoint.id)},
        "grid": options.grid,
        "files": len(directory.layout) + 1,
        "bytes": await run_in_threadpool(lambda: directory.layout.size_bytes),
    }
    return json_response(document, 201, {"Location": link})


@router.head("", responses=schemas.MOVED)
@router.get("", responses=schemas.MOVED)
async def get_dcp(request: Request, checkpoint: Found) -> Response:
    """Redirect to the directory, whose path ends in a slash."""
    return _moved(request, checkpoint)


@router.head("/", responses=schemas.DCP_LIST)
@router.get("/", responses=schemas.DCP_LIST)
async def list_dcp_files(directory: Default) -> Response:
    """Return links to the files of the directory with the default grid."""
    return await _listed(directory)


@router.head("/{file}", responses=schemas.DCP_FILE, openapi_extra=schemas.BYTES)
@router.get("/{file}", responses=schemas.DCP_FILE, openapi_extra=schemas.BYTES)
async def get_dcp_file(
    request: Request, service: Service, directory: Default, file: FileName
) -> Response:
    """Return a file of the directory with the default grid, or ranges of it."""
    if "." not in file:  # A directory without its slash, as no file is named.
        dcp_keys.decode(file)
        return _moved(request, directory.checkpoint, file)
    return await _file(request, service, directory, file)


@router.head("/{key}/", responses=schemas.DCP_LIST)
@router.get("/{key}/", responses=schemas.DCP_LIST)
async def list_chosen_dcp_files(directory: Chosen) -> Response:
    """Return links to the files of a directory with a grid or names of its own."""
    return await _listed(directory)


@router.head("/{key}/{file}", responses=schemas.DCP_FILE, openapi_extra=schemas.BYTES)
@router.get("/{key}/{file}", responses=schemas.DCP_FILE, openapi_extra=schemas.BYTES)
async def get_chosen_dcp_file(
    request: Request, service: Service, directory: Chosen, file: FileName
) -> Response:
    """Return a file of a directory with a grid or names of its own, or ranges of it."""
    return await _file(request, service, directory, file)


async def _file(request: Request, service: State, directory: OpenDirectory, name: str) -> Response:
    source = await service.dcp.file(directory, name)
    item = Representation(directory.checkpoint, source, name)
    # `.metadata` is pickled with the classes of the installed torch: it may change with a release.
    headers = {"Cache-Control": "no-cache"} if name == METADATA else None
    return await representations.respond(request, service, item, headers=headers)


async def _listed(directory: OpenDirectory) -> Response:
    return html_page(await run_in_threadpool(_page, directory))


def _page(directory: OpenDirectory) -> str:
    """Return links relative to the directory, which fsspec reads as its files."""
    names = directory.layout.file_names()
    rows = "".join(f'<li><a href="{name}">{name}</a></li>\n' for name in names)
    return f"<!doctype html>\n<title>{directory.checkpoint.id}</title>\n<ul>\n{rows}</ul>\n"


def _moved(request: Request, checkpoint: Checkpoint, key: str = "") -> Response:
    return RedirectResponse(Links.of(request).dcp(checkpoint.id, key), 308)
