"""The catalogues: what a spec can name."""

from __future__ import annotations

import json
from functools import cache

from fastapi import APIRouter
from starlette.responses import Response

from models import architectures, initializers, transforms
from service.api import schemas
from service.api.json_response import json_bytes

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/architectures", responses=schemas.CATALOGUE)
def get_architectures() -> Response:
    """Every type of architecture and layer, with its JSON Schema and an example that works."""
    return json_bytes(_architectures())


@router.get("/initializers", responses=schemas.CATALOGUE)
def get_initializers() -> Response:
    """Every initializer and transform, with its JSON Schema and an example that works."""
    return json_bytes(_initializers())


@cache
def _architectures() -> bytes:
    return json.dumps({"architectures": architectures.catalogue()}).encode()


@cache
def _initializers() -> bytes:
    found = {"initializers": initializers.catalogue(), "transforms": transforms.catalogue()}
    return json.dumps(found).encode()
