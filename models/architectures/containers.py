"""Layers that hold other layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from seedpoint.models.architectures.base import Layer, Name, Size
from seedpoint.models.architectures.json_type_union import LIST, LIST_OR_OBJECT, OBJECT

if TYPE_CHECKING:
    AnyLayer = Layer  # at run time the union of union.py


class Entry(NamedTuple):
    """A child as its container lists it: keys from the container to it, its name, itself.

    The name is None where a list should give one and does not.
    """

    segments: tuple[str | int, ...]
    name: str | None
    layer: Layer


class Container(Layer):
    """A layer that holds others by name; subclasses say how they list them."""

    # Why a child may not say `name`; None where it may.
    refuses_names: ClassVar[str | None] = None

    def entries(self) -> Iterator[Entry]:
        """The children, in document order."""
        raise NotImplementedError


class Sequential(Container):
    """Layers that run one after another, named by `name` or else by their index."""

    type: Literal["Sequential"]
    layers: tuple[AnyLayer, ...]

    def entries(self) -> Iterator[Entry]:
        for index, layer in enumerate(self.layers):
            name = str(index) if layer.name is None else layer.name
            yield Entry(("layers", index), name, layer)


class ModuleList(Container):
    """A list of layers, named by their index; it has no forward of its own."""

    refuses_names = "ModuleList names its layers 0, 1, ...; leave the name out"
    type: Literal["ModuleList"]
    layers: tuple[AnyLayer, ...]

    def entries(self) -> Iterator[Entry]:
        for index, layer in enumerate(self.layers):
            yield Entry(("layers", index), str(index), layer)


class Named(Container):
    """Children by name: a list of layers with `name`, or an object name -> layer."""

    children: Annotated[
        Annotated[tuple[AnyLayer, ...], LIST] | Annotated[dict[Name, AnyLayer], OBJECT],
        LIST_OR_OBJECT,
    ]

    def entries(self) -> Iterator[Entry]:
        if isinstance(self.children, dict):
            for name, layer in self.children.items():
                yield Entry(("children", name), name, layer)
        else:
            for index, layer in enumerate(self.children):
                yield Entry(("children", index), layer.name, layer)


class Module(Named):
    """A plain nn.Module with these children as attributes."""

    type: Literal["Module"]


class ModuleDict(Named):
    """An nn.ModuleDict of these children."""

    type: Literal["ModuleDict"]


class Repeat(Layer):
    """A Sequential of `count` copies of a layer, named 0, 1, ..., each constructed anew."""

    type: Literal["Repeat"]
    count: Size
    layer: AnyLayer


class Ref(Layer):
    """An earlier layer, once more: the same module and parameters under another name."""

    type: Literal["Ref"]
    ref: Name = Field(description="The absolute dotted name of an earlier layer.")
