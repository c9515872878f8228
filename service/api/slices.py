"""POST of slices in bulk: many tensors' parts as one safetensors stream."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from seedpoint.models.errors import SpecError
from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import Found, Service, read_body
from seedpoint.service.api.representations import Representation
from seedpoint.service.checkpoints.parts_request import parse_request, parts
from seedpoint.service.errors import InvalidBody
from seedpoint.service.generation.parts_source import PartsFile
from seedpoint.service.http import negotiation
from seedpoint.service.planning.strict_json import parse_json

router = APIRouter(prefix="/v1/checkpoints/{id}", tags=["tensors"])


@router.post("/slices", responses=schemas.SLICES, openapi_extra=schemas.PARTS_BODY)
async def get_slices(request: Request, service: Service, checkpoint: Found) -> Response:
    """Return slices of many tensors, or all that a rank holds, as one safetensors file.

    A rank is a number in a mesh of ranks; each tensor has a placement for each dimension of the
    mesh, in the words of DTensor. The file then has the rank's local tensors under their names.
    """
    negotiation.require_json(request.headers)
    negotiation.require_identity(request.headers.getlist("content-encoding"))
    body = await read_body(request, service.settings.max_body_bytes)
    try:
        wanted = parse_request(parse_json(body))
        found = await parts(checkpoint, wanted)
    except SpecError as error:
        raise InvalidBody(error.faults) from None
    etag = checkpoint.etag(f"slices;{wanted.canonical}")
    name = "slices" if wanted.rank is None else f"rank-{wanted.rank}"
    item = Representation(checkpoint, PartsFile.of(found, etag=etag), name, ".safetensors")
    return await representations.whole(request, service, item, {})
