"""GET and HEAD of a checkpoint's files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import DigestQuery, Found, Service
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.registry import Checkpoint
from seedpoint.service.http.negotiation import JSON, OCTETS

router = APIRouter(prefix="/v1/checkpoints/{id}/files", tags=["files"])


@router.head("/{file}", responses=schemas.FILE, openapi_extra=schemas.BYTES)
@router.get("/{file}", responses=schemas.FILE, openapi_extra=schemas.BYTES)
async def get_file(
    request: Request,
    service: Service,
    checkpoint: Found,
    file: Annotated[
        str, Path(description="`model.safetensors`, or another name in `links.files`.")
    ],
    digest: DigestQuery = None,
) -> Response:
    """Return a file, or ranges of it. The bytes are computed as they are sent."""
    item = representation(checkpoint, file)
    return await representations.respond(request, service, item, digest=digest is not None)


def representation(checkpoint: Checkpoint, name: str) -> Representation:
    """Return the representation of the file `name`. Raises NotFound."""
    file = checkpoint.file(name)
    return Representation(
        checkpoint=checkpoint.id,
        name=name,
        size_bytes=file.size_bytes,
        etag=checkpoint.file_etag(name),
        read=checkpoint.reader(file),
        cuts=checkpoint.cuts(file),
        needs=checkpoint.needs(file),
        media_type=JSON if name.endswith(".json") else OCTETS,
        light=checkpoint.plan.platform is None,
        tensors=len(checkpoint.plan.tensors),
    )
