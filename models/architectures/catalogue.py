"""Catalogue of architecture types, each with a working example and spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from seedpoint.models.architectures.base import SpecPart
from seedpoint.models.architectures.containers import LINEAR, Ref
from seedpoint.models.architectures.examples import example_of
from seedpoint.models.architectures.layers import LAYERS
from seedpoint.models.architectures.optional_libraries import EXTRAS, is_installed
from seedpoint.models.architectures.type_union import STRUCTURE, WHOLE, json_schema

# Placeholder for the union of all layers in the schema of an entry.
_ANY_LAYER = {
    "type": "object",
    "description": "Any entry of this catalogue.",
    "properties": {"type": {"type": "string"}},
    "required": ["type"],
}


def catalogue() -> list[dict[str, Any]]:
    """Return an entry for every type: `{"type", "summary", "schema", "example", "spec"}`.

    `schema` is a self-contained JSON Schema that `example` satisfies. `spec` is a complete spec
    that contains the example and can be issued as it is. For a type that needs another library,
    `extra` is the extra that installs the library and `installed` is true if it is installed.
    """
    return [_entry(name, model, definition) for name, model, definition in _definitions()]


def _entry(name: str, model: type[SpecPart], definition: dict[str, Any]) -> dict[str, Any]:
    example = (
        {"type": name, **model.example} if model.example else example_of(name, getattr(nn, name))
    )
    return {
        "type": name,
        "summary": definition.get("description", ""),
        "schema": _alone(definition),
        "example": example,
        "spec": _spec(model, example),
        **_needs(name),
    }


def _spec(model: type[SpecPart], example: dict[str, Any]) -> dict[str, Any]:
    """Return a complete spec with the example; a Ref follows the layer that it refers to."""
    if model is Ref:
        shared = {"name": example["ref"], **LINEAR}
        return {"architecture": {"type": "Sequential", "layers": [shared, example]}}
    init = {"init": {"seed": 42, "rules": list(model.example_rules)}} if model.example_rules else {}
    return {"architecture": example, **init}


def _needs(name: str) -> dict[str, Any]:
    library = "transformers" if name == "preset" else name
    if library in EXTRAS:
        return {"extra": EXTRAS[library], "installed": is_installed(library)}
    return {}


def _definitions() -> Iterator[tuple[str, type[SpecPart], dict[str, Any]]]:
    """Yield each type with its class and its JSON Schema."""
    schema = json_schema()
    mapping = schema["discriminator"]["mapping"]
    names = {ref.removeprefix("#/$defs/"): tag for tag, ref in mapping.items()}
    for model in (*STRUCTURE, *WHOLE, *LAYERS.values()):
        yield names[model.__name__], model, schema["$defs"][model.__name__]


def _alone(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a self-contained definition, in which layers are left open."""
    inner: dict[str, Any] = {}
    pending = [definition]
    while pending:
        for name in _references(pending.pop()):
            if name not in inner:
                inner[name] = _ANY_LAYER if name == "Layer" else json_schema()["$defs"][name]
                pending.append(inner[name])
    return {**definition, "$defs": inner} if inner else dict(definition)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix("#/$defs/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
