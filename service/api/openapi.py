"""The OpenAPI document: FastAPI's own, with schemas of specs and answers, and working examples."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from seedpoint.models.spec.schema import Spec
from seedpoint.service.api.schemas import MODELS, REF
from seedpoint.service.checkpoints.dcp_options import DcpOptions
from seedpoint.service.checkpoints.parts_request import PartsRequest
from seedpoint.service.http.negotiation import JSON

SERVICE = Path(__file__).parent.parent
FIRST_EXAMPLE = "mlp"
BODIES: tuple[type[BaseModel], ...] = (Spec, DcpOptions, PartsRequest)
EXAMPLES = (SERVICE.parent / "examples",)


def install(app: FastAPI) -> None:
    """Replace the OpenAPI document of `app` with the complete one."""
    plain = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        return _complete(plain())

    app.openapi = openapi  # type: ignore[method-assign]


def operation_id(route: APIRoute) -> str:
    """Return a route's operation id, its name in generated clients: `get_file`, `head_file`."""
    is_head = route.methods == {"HEAD"}
    return re.sub("^(get|list)_", "head_", route.name) if is_head else route.name


def examples() -> dict[str, Any]:
    """Return the example specs by name; viewers show the first."""
    paths = [path for folder in EXAMPLES for path in sorted(folder.glob("*.json"))]
    paths.sort(key=lambda path: path.stem != FIRST_EXAMPLE)
    return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    _, answers = models_json_schema([(m, "serialization") for m in MODELS], ref_template=_TEMPLATE)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(answers.get("$defs", {}))
    for model in BODIES:
        body_schema = model.model_json_schema(ref_template=_TEMPLATE)
        parts = {**body_schema.pop("$defs", {}), model.__name__: body_schema}
        for name, schema in parts.items():
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two schemas are called {name!r}")
    body = document["paths"]["/v1/checkpoints"]["post"]["requestBody"]["content"][JSON]
    body["examples"] = {name: {"value": value} for name, value in examples().items()}
    _split_enumerations(schemas)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"] = _first_sentence(operation)
    return document


def _split_enumerations(schema: Any) -> None:
    """Split every enumeration that has words which differ only in case.

    Generated code names members in one case: `bool` and `BOOL` would collide.
    """
    if isinstance(schema, dict):
        words = schema.get("enum")
        if isinstance(words, list) and len(parts := _distinct(words)) > 1:
            kind = {"type": schema["type"]} if "type" in schema else {}
            del schema["enum"]
            schema.pop("type", None)
            schema["anyOf"] = [{**kind, "enum": part} for part in parts]
        for inner in schema.values():
            _split_enumerations(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _split_enumerations(inner)


def _distinct(words: list[Any]) -> list[list[Any]]:
    """Return `words` in runs, within each of which no two words differ only in case."""
    runs: list[list[Any]] = [[]]
    known: set[str] = set()
    for word in words:
        name = str(word).lower()
        if name in known:
            runs.append([])
            known.clear()
        known.add(name)
        runs[-1].append(word)
    return runs


def _first_sentence(operation: dict[str, Any]) -> str:
    """Return the first sentence of an operation's description as its summary."""
    text = " ".join(operation["description"].split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")


_TEMPLATE = REF + "{model}"
