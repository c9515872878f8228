"""Catalogue of architecture types, each with a working example and spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from seedpoint.models.architectures.examples import example_of
from seedpoint.models.architectures.layers import LAYERS
from seedpoint.models.architectures.optional_libraries import EXTRAS, is_installed
from seedpoint.models.architectures.type_union import STRUCTURE, WHOLE, json_schema

_LINEAR = {"type": "Linear", "in_features": 4, "out_features": 4}
_NAMED = [{"name": "hidden", **_LINEAR}, {"name": "activation", "type": "ReLU"}]

_EXAMPLES: dict[str, dict[str, Any]] = {
    "Sequential": {"type": "Sequential", "layers": _NAMED},
    "Module": {"type": "Module", "children": _NAMED},
    "ModuleDict": {"type": "ModuleDict", "children": {"left": _LINEAR, "right": _LINEAR}},
    "ModuleList": {"type": "ModuleList", "layers": [_LINEAR, {"type": "ReLU"}]},
    "Repeat": {"type": "Repeat", "count": 3, "layer": _LINEAR},
    "Ref": {"type": "Ref", "ref": "shared"},
    "Custom": {
        "type": "Custom",
        "parameters": [{"name": "scale", "shape": [5, 3]}],
        "buffers": [{"name": "count", "shape": [], "dtype": "int64"}],
    },
    "tensors": {
        "type": "tensors",
        "tensors": [{"name": "embed.weight", "shape": [10, 4], "dtype": "bfloat16"}],
    },
    "transformers": {
        "type": "transformers",
        "config": {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "n_layer": 2,
            "n_embd": 32,
            "n_head": 2,
            "n_positions": 64,
            "vocab_size": 100,
            "bos_token_id": 99,
            "eos_token_id": 99,
        },
    },
    "timm": {"type": "timm", "model": "resnet18", "args": {"num_classes": 10}},
    "torchvision": {"type": "torchvision", "model": "resnet18", "args": {"num_classes": 10}},
    "preset": {"type": "preset", "name": "llama-tiny", "overrides": {"num_hidden_layers": 4}},
}

# Rules in the specs of types that have no init of their own.
_RULES: dict[str, list[dict[str, Any]]] = {
    "Custom": [
        {"match": {"name": "scale"}, "initializer": {"type": "normal", "std": 0.02}},
        {"match": {"name": "count"}, "initializer": {"type": "zeros"}},
    ],
    "tensors": [{"match": {}, "initializer": {"type": "normal", "std": 0.02}}],
}

# Placeholder for the union of all layers in the schema of an entry.
_ANY_LAYER = {
    "type": "object",
    "description": "Any entry of this catalogue except `tensors`.",
    "properties": {"type": {"type": "string"}},
    "required": ["type"],
}


def catalogue() -> list[dict[str, Any]]:
    """Return an entry for every type: `{"type", "summary", "schema", "example", "spec"}`.

    `schema` is a self-contained JSON Schema that `example` satisfies. `spec` is a complete spec
    that contains the example and can be issued as it is. For a type that needs another library,
    `extra` is the extra that installs the library and `installed` is true if it is installed.
    """
    return [_entry(name, definition) for name, definition in _definitions()]


def _entry(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    example = _EXAMPLES.get(name) or example_of(name, getattr(nn, name))
    return {
        "type": name,
        "summary": definition.get("description", ""),
        "schema": _alone(definition),
        "example": example,
        "spec": _spec(name, example),
        **_needs(name),
    }


def _spec(name: str, example: dict[str, Any]) -> dict[str, Any]:
    """Return a complete spec with the example; a Ref follows the layer that it refers to."""
    if name == "Ref":
        shared = {"name": example["ref"], **_LINEAR}
        return {"architecture": {"type": "Sequential", "layers": [shared, example]}}
    init = {"init": {"seed": 42, "rules": _RULES[name]}} if name in _RULES else {}
    return {"architecture": example, **init}


def _needs(name: str) -> dict[str, Any]:
    library = "transformers" if name == "preset" else name
    if library in EXTRAS:
        return {"extra": EXTRAS[library], "installed": is_installed(library)}
    return {}


def _definitions() -> Iterator[tuple[str, dict[str, Any]]]:
    schema = json_schema()
    mapping = schema["discriminator"]["mapping"]
    models = [*STRUCTURE, *WHOLE, *LAYERS.values()]
    order = {model.__name__: position for position, model in enumerate(models)}
    names = {tag: ref.removeprefix("#/$defs/") for tag, ref in mapping.items()}
    for tag in sorted(names, key=lambda tag: order[names[tag]]):
        yield tag, schema["$defs"][names[tag]]


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
