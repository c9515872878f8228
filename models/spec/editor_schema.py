"""JSON Schema of a spec for editors, with the words that are taken beside the canonical ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from seedpoint.models.spec.schema import json_schema
from seedpoint.models.spec.wordings import DTYPES

_DATA = frozenset({"default", "examples", "mapping", "const", "enum", "required"})
_MATCH = {"$ref": "#/$defs/Match"}
_TEXT = {"type": "string"}
# Unions whose types may be given by their name alone, by one of the types.
_NAMED = ("zeros", "exp", "weight_norm")


@cache
def editor_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a spec as it may be written; do not modify it.

    `json_schema` has the canonical forms alone. This one also has `"initializer": "zeros"`,
    `"match": "**.weight"`, `"dtype": "bf16"` and the like.
    """
    schema: dict[str, Any] = _taken(json_schema(), json_schema()["$defs"])
    definitions = schema["$defs"]
    for rule in ("Rule", "DTypeRule"):
        match = definitions[rule]["properties"]["match"]
        match["anyOf"].append({"type": "array", "items": _TEXT, "minItems": 1})
    constant = definitions["Constant"]
    constant["properties"]["value"] = constant["properties"]["val"]
    constant["required"] = ["type"]
    constant["anyOf"] = [{"required": ["val"]}, {"required": ["value"]}]
    return schema


def _taken(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a copy of a schema whose places take the other words, too."""
    if isinstance(node, list):
        return [_taken(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key in ("properties", "$defs"):  # whose keys are names
            found[key] = {name: _taken(inner, definitions) for name, inner in value.items()}
        else:
            found[key] = value if key in _DATA else _taken(value, definitions)
    if node.get("$ref") == _MATCH["$ref"]:
        del found["$ref"]
        return {**found, "anyOf": [_MATCH, _TEXT]}
    if "bfloat16" in node.get("enum", ()):
        return {**found, "enum": list(dict.fromkeys([*node["enum"], *DTYPES]))}
    if any(name in node.get("discriminator", {}).get("mapping", {}) for name in _NAMED):
        return {"anyOf": [found, {"enum": _without_arguments(node, definitions)}]}
    return found


def _without_arguments(union: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[str]:
    """Return the types of a union that need no argument."""
    return [
        name
        for name, reference in union["discriminator"]["mapping"].items()
        if set(definitions[reference.removeprefix("#/$defs/")].get("required", ())) <= {"type"}
    ]
