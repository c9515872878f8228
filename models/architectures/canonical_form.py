"""Canonical JSON form of an architecture: minimal, with one form for each meaning."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from seedpoint.models.architectures.base import Layer, SpecPart
from seedpoint.models.architectures.containers import (
    Child,
    Container,
    Custom,
    ModuleList,
    Named,
    WithTensors,
)
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.shapes import Shaped, Shapes, entries
from seedpoint.models.architectures.tensors import Tensors


def normalized(architecture: Layer) -> dict[str, Any]:
    """Return the canonical JSON document that parses to the same architecture.

    Defaults are left out, and so are the names that a Sequential assigns itself. Layers, children,
    parameters, buffers and tensors are lists of named entries in document order; a safetensors
    header becomes the same kind of list. Dtypes have PyTorch's names.
    """
    if isinstance(architecture, Foreign):
        architecture = architecture.expanded()
    if isinstance(architecture, Container):
        return _container(architecture)
    if isinstance(architecture, Tensors):
        document = _object(architecture, leave_out=("tensors", "header", "layout"))
        layout = {} if architecture.layout == "out_in" else {"layout": architecture.layout}
        return {**document, **layout, "tensors": _all_tensors(architecture)}
    return _object(architecture)


def _container(container: Container) -> dict[str, Any]:
    document = _object(container, leave_out=("layers", "children", "parameters", "buffers"))
    children = [_child(container, index, entry) for index, entry in enumerate(container.entries())]
    # An empty list is written too, except by Custom: issued ids hold it.
    if children or not isinstance(container, Custom):
        document["children" if isinstance(container, Named) else "layers"] = children
    if isinstance(container, WithTensors):
        for field in ("parameters", "buffers"):
            shapes = getattr(container, field)
            # An empty object is written by Custom: issued ids hold it.
            if shapes or (isinstance(container, Custom) and shapes != ()):
                document[field] = _tensors(shapes)
    return document


def _child(container: Container, index: int, entry: Child) -> dict[str, Any]:
    document = normalized(entry.layer)
    if isinstance(container, Named) or (
        not isinstance(container, ModuleList) and entry.name != str(index)
    ):
        return {**document, "name": entry.name}
    document.pop("name", None)
    return document


def _object(part: SpecPart, leave_out: Collection[str] = ()) -> dict[str, Any]:
    document = {}
    for name, field in type(part).model_fields.items():
        if name in leave_out:
            continue
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
