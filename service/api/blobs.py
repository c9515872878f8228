"""PUT, GET and HEAD of blobs: safetensors files from which `values` are taken."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from seedpoint.service import errors
from seedpoint.service.api import representations, schemas
from seedpoint.service.api.dependencies import Service, body_pieces, declared_bytes
from seedpoint.service.api.links import Links
from seedpoint.service.api.representations import Representation
from seedpoint.service.generation.blob_source import BlobSource
from seedpoint.service.http import negotiation, ranges
from seedpoint.service.http.digest_fields import given_digests
from seedpoint.service.state import State

router = APIRouter(prefix="/v1/blobs", tags=["blobs"])

_SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIX = ".safetensors"


async def _name(
    sha256: Annotated[str, Path(description="SHA-256 of the file, 64 lower-case hex digits.")],
) -> str:
    if not _SHA256.fullmatch(sha256):
        raise errors.InvalidParameter(
            "expected the SHA-256 of the file: 64 lower-case hexadecimal digits",
            path="path.sha256",
        )
    return sha256


Name = Annotated[str, Depends(_name)]


@router.put("/{sha256}", status_code=201, responses=schemas.PUT_BLOB, openapi_extra=schemas.BLOB)
async def put_blob(request: Request, service: Service, sha256: Name) -> Response:
    """Store a safetensors file under its SHA-256, for `values` by `file`.

    201 for a new blob, 204 for one that is there. The file is streamed to disk, and is there once
    it is complete and its SHA-256 is that of the path; a `Content-Digest` is compared too.
    """
    negotiation.require_identity(request.headers.getlist("content-encoding"))
    size_bytes = declared_bytes(request)
    service.uploads.check_size(size_bytes or 0)
    await _check_conditions(request, service, sha256)
    is_new = await service.uploads.receive(
        sha256, body_pieces(request), size_bytes=size_bytes, digests=_digests(request, sha256)
    )
    headers = {"Location": Links.of(request).blob(sha256), "ETag": f'"{sha256}"'}
    return Response(status_code=201 if is_new else 204, headers=headers)


@router.head("/{sha256}", responses=schemas.FILE, openapi_extra=schemas.RANGES)
@router.get("/{sha256}", responses=schemas.FILE, openapi_extra=schemas.RANGES)
async def get_blob(request: Request, service: Service, sha256: Name) -> Response:
    """Return a blob, or ranges of it; HEAD tells whether it is there."""
    size_bytes = await asyncio.to_thread(service.uploads.files.size_bytes, sha256)
    if size_bytes is None:
        raise errors.NotFound(f"no blob {sha256} here; PUT it")
    source = BlobSource(service.uploads.files, sha256, size_bytes)
    item = Representation(None, source, sha256, SUFFIX)
    return await representations.respond(request, service, item)


async def _check_conditions(request: Request, service: State, sha256: str) -> None:
    """Evaluate the preconditions of a PUT (RFC 9110, sections 13.1 and 14.5).

    Raises: PreconditionFailed; MalformedRequest for a part of a file.
    """
    if "content-range" in request.headers:
        raise errors.MalformedRequest("send the whole file: no Content-Range in a PUT")
    size_bytes = await asyncio.to_thread(service.uploads.files.size_bytes, sha256)
    if size_bytes is None:
        is_met = "if-match" not in request.headers
    else:
        fields, etag = request.headers.items(), f'"{sha256}"'
        outcome = ranges.evaluate(request.method, fields, etag=etag, size=size_bytes)
        is_met = not isinstance(outcome, ranges.PreconditionFailed)
    if not is_met:
        there = "is absent" if size_bytes is None else "is there"
        raise errors.PreconditionFailed(f"the blob {there}; its entity tag is its SHA-256")


def _digests(request: Request, sha256: str) -> dict[str, bytes]:
    """Return the digests that the body must have besides the path's.

    Raises: DigestMismatch, if one of them contradicts the path or is malformed.
    """
    found: dict[str, bytes] = {}
    for name in ("Content-Digest", "Repr-Digest"):  # The same without a content coding.
        for algorithm, digest in given_digests(name, request.headers.getlist(name)).items():
            expected = bytes.fromhex(sha256) if algorithm == "sha256" else found.get(algorithm)
            if expected not in (None, digest):
                raise errors.DigestMismatch(
                    f"{name} has the {algorithm} {digest.hex()}, not {(expected or b'').hex()}"
                )
            found[algorithm] = digest
    return found
