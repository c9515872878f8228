"""Catalogues of what a spec can use: architectures, initializers, presets, its schema."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from seedpoint.models import architectures, initializers, presets
from seedpoint.models.initializers import transforms
from seedpoint.models.spec.editor_schema import editor_schema
from seedpoint.service.api import schemas
from seedpoint.service.api.links import Links
from seedpoint.service.errors import NotFound
from seedpoint.service.http.json_response import json_bytes

router = APIRouter(prefix="/v1", tags=["catalogue"])

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXTS = frozenset({"title", "description", "default", "examples"})


@router.head("/architectures", responses=schemas.CATALOGUE)
@router.get("/architectures", responses=schemas.CATALOGUE)
def get_architectures() -> Response:
    """List the architecture and layer types, each with JSON Schema, an example and a whole spec."""
    return json_bytes(_architectures())


@router.head("/initializers", responses=schemas.CATALOGUE)
@router.get("/initializers", responses=schemas.CATALOGUE)
def get_initializers() -> Response:
    """List the initializers and transforms, each with JSON Schema, an example and a whole spec."""
    return json_bytes(_initializers())


@router.head("/spec/schema", responses=schemas.CATALOGUE)
@router.get("/spec/schema", responses=schemas.CATALOGUE)
def get_spec_schema() -> Response:
    """Return the JSON Schema of a spec, with which an editor checks and completes it."""
    return json_bytes(_spec_schema())


@router.head("/presets", responses=schemas.CATALOGUE)
@router.get("/presets", responses=schemas.CATALOGUE)
def get_presets(request: Request) -> Response:
    """List the presets, each with a summary, JSON Schema, an example and a whole spec."""
    return json_bytes(_presets(Links.of(request)))


@router.head("/presets/{name}", responses=schemas.PRESET)
@router.get("/presets/{name}", responses=schemas.PRESET)
def get_preset(request: Request, name: str) -> Response:
    """Return a preset's list entry and the architecture that it stands for."""
    try:
        preset = presets.get(name)
    except presets.UnknownPreset as error:
        raise NotFound(str(error)) from None
    document = {**_preset(preset, Links.of(request)), "architecture": preset.architecture}
    return json_bytes(json.dumps(document).encode())


@cache
def _architectures() -> bytes:
    return json.dumps({"architectures": architectures.catalogue()}).encode()


@cache
def _spec_schema() -> bytes:
    return json.dumps({"$schema": _DIALECT, **editor_schema()}).encode()


@cache
def _initializers() -> bytes:
    found = {"initializers": initializers.catalogue(), "transforms": transforms.catalogue()}
    return json.dumps(found).encode()


@lru_cache(maxsize=4)  # Few prefixes are real; those that a client makes up are evicted.
def _presets(links: Links) -> bytes:
    found = [_preset(presets.get(name), links) for name in presets.names()]
    return json.dumps({"presets": found}).encode()


def _preset(preset: presets.Preset, links: Links) -> dict[str, Any]:
    """Return a preset's list entry; `example` is an architecture, `spec` issues it."""
    name, spec = preset.name, presets.spec(preset.name)
    schema = _preset_schema()
    return {
        **preset.summary(),
        "schema": {**schema, "properties": {**schema["properties"], "name": {"const": name}}},
        "example": spec["architecture"],
        "spec": spec,
        "links": {"self": links.preset(name)},
    }


@cache
def _preset_schema() -> dict[str, Any]:
    """Return the schema of type `preset` without texts, which hundreds of entries would repeat."""
    (found,) = (e["schema"] for e in architectures.catalogue() if e["type"] == "preset")
    properties = {name: _without_texts(inner) for name, inner in found["properties"].items()}
    return {**_without_texts(found), "properties": properties}


def _without_texts(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _TEXTS}
