"""Canonical JSON form of an architecture: minimal, with one form for each meaning."""

from __future__ import annotations

from typing import Any

from seedpoint.models.architectures.base import Layer, SpecPart
from seedpoint.models.architectures.containers import Named, Sequential
from seedpoint.models.architectures.custom import Custom
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.shapes import Shaped, Shapes, entries
from seedpoint.models.architectures.tensors import Tensors


def normalized(architecture: Layer | Tensors | Foreign) -> dict[str, Any]:
    """Return the canonical JSON document that parses to the same architecture.

    Defaults are left out, and so are the names that a Sequential assigns itself. Children,
    parameters, buffers and tensors are lists of named entries in document order; a safetensors
    header becomes the same kind of list. Dtypes have PyTorch's names.
    """
    if isinstance(architecture, Foreign):
        architecture = architecture.expanded()
    document = _object(architecture)
    if isinstance(architecture, Named):
        document["children"] = [
            {**normalized(entry.layer), "name": entry.name} for entry in architecture.entries()
        ]
    elif isinstance(architecture, Sequential):
        for index, layer in enumerate(document["layers"]):
            if layer.get("name") == str(index):
                del layer["name"]
    elif isinstance(architecture, Custom):
        for field in ("parameters", "buffers"):
            if field in document:
                document[field] = _tensors(getattr(architecture, field))
    elif isinstance(architecture, Tensors):
        layout = {} if architecture.layout == "out_in" else {"layout": architecture.layout}
        document = {"type": architecture.type, **layout, "tensors": _all_tensors(architecture)}
    return document


def _object(part: SpecPart) -> dict[str, Any]:
    document = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            document[field.alias or name] = _plain(value)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        return normalized(value)
    if isinstance(value, SpecPart):
        return _object(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _all_tensors(architecture: Tensors) -> list[dict[str, Any]]:
    if architecture.header is None:
        return _tensors(architecture.tensors or ())
    return [
        _tensor(name, entry.shape, entry.element.name)
        for name, entry in architecture.header.items()
    ]


def _tensors(shapes: Shapes) -> list[dict[str, Any]]:
    return [_tensor(name, shaped.shape, shaped.element.name) for _, name, shaped in entries(shapes)]


def _tensor(name: str, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    default = Shaped.model_fields["dtype"].default
    return {"name": name, "shape": list(shape)} | ({"dtype": dtype} if dtype != default else {})
