"""The catalogues: what a spec can name."""

from __future__ import annotations

import json
from functools import cache

from fastapi import APIRouter
from starlette.responses import Response

from models import architectures, initializers, presets, transforms
from service.api import schemas
from service.api.json_response import json_bytes
from service.errors import NotFound

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.head("/architectures", responses=schemas.CATALOGUE)
@router.get("/architectures", responses=schemas.CATALOGUE)
def get_architectures() -> Response:
    """Every type of architecture and layer, with its JSON Schema and an example that works."""
    return json_bytes(_architectures())


@router.head("/initializers", responses=schemas.CATALOGUE)
@router.get("/initializers", responses=schemas.CATALOGUE)
def get_initializers() -> Response:
    """Every initializer and transform, with its JSON Schema and an example that works."""
    return json_bytes(_initializers())


@router.head("/presets", responses=schemas.CATALOGUE)
@router.get("/presets", responses=schemas.CATALOGUE)
def get_presets() -> Response:
    """Every preset: the name of an architecture, what it is, and how many parameters it has."""
    return json_bytes(_presets())


@router.head("/presets/{name}", responses=schemas.PRESET)
@router.get("/presets/{name}", responses=schemas.PRESET)
def get_preset(name: str) -> Response:
    """A preset with its whole architecture, and a spec that issues it."""
    try:
        preset = presets.get(name)
    except presets.UnknownPreset as error:
        raise NotFound(str(error)) from None
    return json_bytes(json.dumps(preset.document()).encode())


@cache
def _architectures() -> bytes:
    return json.dumps({"architectures": architectures.catalogue()}).encode()


@cache
def _initializers() -> bytes:
    found = {"initializers": initializers.catalogue(), "transforms": transforms.catalogue()}
    return json.dumps(found).encode()


@cache
def _presets() -> bytes:
    found = [
        {**presets.get(name).summary(), "links": {"self": f"/v1/presets/{name}"}}
        for name in presets.names()
    ]
    return json.dumps({"presets": found}).encode()
