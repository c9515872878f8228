"""GET and HEAD of a checkpoint's files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import DigestQuery, Found, Service
from seedpoint.service.api.representations import Representation

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
    item = Representation.of(checkpoint.file(file))
    return await representations.respond(request, service, item, digest=digest is not None)
