"""The OpenAPI document: FastAPI's, with the spec's schema, examples that work, and answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from models.spec import Spec
from service.api.negotiation import JSON
from service.api.schemas import MODELS, REF

# Beside the package in a checkout, inside it where it is installed.
SERVICE = Path(__file__).parent.parent
EXAMPLES = (SERVICE / "examples", SERVICE.parent / "examples")


def install(app: FastAPI) -> None:
    """Makes `app` describe itself in full; its pages answer HEAD too."""
    plain = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        return _complete(plain())

    app.openapi = openapi  # type: ignore[method-assign]
    for route in app.routes:
        if isinstance(route, APIRoute) and not route.include_in_schema and route.methods == {"GET"}:
            route.methods.add("HEAD")


def examples() -> dict[str, Any]:
    """The example specs by name."""
    found = (path for folder in EXAMPLES for path in sorted(folder.glob("*.json")))
    return {path.stem: json.loads(path.read_text("utf-8")) for path in found}


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    _, answers = models_json_schema([(m, "serialization") for m in MODELS], ref_template=_TEMPLATE)
    spec = Spec.model_json_schema(ref_template=_TEMPLATE)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(answers.get("$defs", {}))
    for name, schema in spec.pop("$defs", {}).items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas are called {name!r}")
    schemas["Spec"] = spec
    body = document["paths"]["/v1/checkpoints"]["post"]["requestBody"]["content"][JSON]
    body["examples"] = {name: {"value": value} for name, value in examples().items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"] = _first_sentence(operation)
    return document


def _first_sentence(operation: dict[str, Any]) -> str:
    """What an operation does in one line, not the name of its function."""
    text = " ".join(operation["description"].split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")


_TEMPLATE = REF + "{model}"
