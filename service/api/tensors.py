"""GET and HEAD of one tensor, or a slice of it."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.models.validation.faults import join
from seedpoint.models.validation.messages import in_words
from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import (
    DigestQuery,
    Found,
    Service,
    accepted,
    while_connected,
)
from seedpoint.service.api.representations import Representation
from seedpoint.service.errors import InvalidParameter, TooManyElements
from seedpoint.service.generation.numbers import numbers
from seedpoint.service.generation.parts_source import PartsFile
from seedpoint.service.http import negotiation
from seedpoint.service.http.json_response import json_bytes
from seedpoint.service.http.negotiation import JSON, OCTETS
from seedpoint.service.statistics import digests


class _TensorName(Convertor[str]):
    """URL convertor of a tensor's name: any string, including slashes and line ends."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("tensor", _TensorName())

router = APIRouter(prefix="/v1/checkpoints/{id}/tensors", tags=["tensors"])

VARY = {"Vary": "Accept"}
_PARAMETERS = ("slice", "digest")


@router.head("/{name:tensor}", responses=schemas.TENSOR, openapi_extra=schemas.BYTES)
@router.get("/{name:tensor}", responses=schemas.TENSOR, openapi_extra=schemas.BYTES)
async def get_tensor(
    request: Request,
    service: Service,
    checkpoint: Found,
    name: Annotated[str, Path(description="A tensor's name, percent-encoded.")],
    slice: Annotated[
        str, Query(description="Slice by NumPy's rules: `0:128,:`, `-1`, `::2`.")
    ] = "",
    digest: DigestQuery = None,
) -> Response:
    """Return a tensor or slice as a small safetensors file under its name, or as JSON numbers."""
    _check_parameters(request)
    offer = negotiation.choose(accepted(request), (OCTETS, JSON))
    tensor = await checkpoint.tensor(name)
    try:
        picked = parse_slice(slice, checkpoint.plan.tensors[tensor].shape)
    except ValueError as error:
        raise InvalidParameter(str(error), path="query.slice") from None
    fault = checkpoint.plan.tensors[tensor].dtype.shape_fault(picked.shape)
    if offer != JSON and fault is not None:
        raise InvalidParameter(f"{fault}; or Accept: {JSON}", path="query.slice")
    part = TensorPart(checkpoint.evaluator, tensor, picked, name)
    if offer == JSON:
        return await _as_numbers(request, service, part, digest=digest is not None)
    file = PartsFile.of([part], etag=checkpoint.etag(f"tensors/{name}?{picked}"))
    item = Representation(checkpoint, file, name, ".safetensors")
    return await representations.respond(
        request, service, item, digest=digest is not None, headers=VARY
    )


def _check_parameters(request: Request) -> None:
    """Refuse unknown parameters: a misspelled `slice` must not return the whole tensor.

    Raises: InvalidParameter.
    """
    for name in request.query_params:
        if name not in _PARAMETERS:
            known = ", ".join(_PARAMETERS)
            raise InvalidParameter(
                f"unknown parameter {in_words(name)}; allowed: {known}",
                path=join("query", name),
            )


async def _as_numbers(
    request: Request, service: Service, part: TensorPart, *, digest: bool
) -> Response:
    most = service.settings.max_json_elements
    if part.numel > most:
        raise TooManyElements(
            f"{part.numel} elements are too many for JSON; at most {most} are allowed: "
            f"request a smaller slice, or Accept: {OCTETS}"
        )
    document = {
        "name": part.name,
        "dtype": part.dtype.code,
        "shape": list(part.shape),
        "values": await while_connected(request, numbers(service.engine, part)),
    }
    content = await run_in_threadpool(to_json, document)
    said = dict(VARY)
    if digest or negotiation.wants_sha256(request.headers.getlist("want-repr-digest")):
        found = await run_in_threadpool(hashlib.sha256, content)
        said["Repr-Digest"] = digests.field(found.hexdigest())
    return json_bytes(content, 200, said)
