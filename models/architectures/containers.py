"""Layers that hold other layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch import nn

from seedpoint.models.architectures.base import Layer, Name, Size
from seedpoint.models.architectures.json_type_union import LIST, LIST_OR_OBJECT, OBJECT
from seedpoint.models.architectures.parametrizations import Parametrizations
from seedpoint.models.architectures.parametrizations import field as parametrizations_field
from seedpoint.models.architectures.shapes import Shapes

LINEAR = {"type": "Linear", "in_features": 4, "out_features": 4}
EXAMPLES = [{"name": "hidden", **LINEAR}, {"name": "activation", "type": "ReLU"}]

if TYPE_CHECKING:
    AnyLayer = Layer  # at run time the union of type_union.py

# Layers in a list, or an object of name -> layer, in document order.
Layers = Annotated[
    Annotated[tuple["AnyLayer", ...], LIST] | Annotated[dict[Name, "AnyLayer"], OBJECT],
    LIST_OR_OBJECT,
]


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise PydanticCustomError("class_name", "expected a valid name of a Python class")
    return name


class Child(NamedTuple):
    """Child of a container: the keys from the container to it, its name and its layer.

    The name is None if a list omits a name that it must give.
    """

    segments: tuple[str | int, ...]
    name: str | None
    layer: Layer


class Container(Layer):
    """Layer that holds other layers by name; subclasses define how they list them."""

    # Message for a child that gives a `name`; None if children may give one.
    refuses_names: ClassVar[str | None] = None
    module_class: ClassVar[type[nn.Module]] = nn.Module
    """Class of the module that holds the children."""

    def entries(self) -> Iterator[Child]:
        """Yield the children, in document order."""
        raise NotImplementedError


class Sequential(Container):
    """Layers that run one after another, named by `name`, else by their index."""

    chains = True
    module_class = nn.Sequential
    example: ClassVar[Mapping[str, Any]] = {"layers": EXAMPLES}

    type: Literal["Sequential"]
    layers: Layers

    def entries(self) -> Iterator[Child]:
        if isinstance(self.layers, dict):
            for name, layer in self.layers.items():
                yield Child(("layers", name), name, layer)
        else:
            for index, layer in enumerate(self.layers):
                name = str(index) if layer.child_name is None else layer.child_name
                yield Child(("layers", index), name, layer)


class ModuleList(Container):
    """List of layers, named by their index, without a forward of its own."""

    refuses_names = "ModuleList names its layers 0, 1, ...; leave the name out"
    module_class = nn.ModuleList
    example: ClassVar[Mapping[str, Any]] = {"layers": [LINEAR, {"type": "ReLU"}]}

    type: Literal["ModuleList"]
    layers: tuple[AnyLayer, ...]

    def entries(self) -> Iterator[Child]:
        for index, layer in enumerate(self.layers):
            yield Child(("layers", index), str(index), layer)


class Named(Container):
    """Named children: a list of layers with `name`, or an object of name -> layer."""

    children: Layers

    def entries(self) -> Iterator[Child]:
        if isinstance(self.children, dict):
            for name, layer in self.children.items():
                yield Child(("children", name), name, layer)
        else:
            for index, layer in enumerate(self.children):
                yield Child(("children", index), layer.child_name, layer)


class WithTensors(Named):
    """Module with tensors of its own beside its children, which are uninitialized."""

    children: Layers = ()
    parameters: Shapes = ()
    buffers: Shapes = ()
    parametrizations: Parametrizations = parametrizations_field()


class Module(WithTensors):
    """Plain nn.Module with the children, parameters and buffers as attributes."""

    example: ClassVar[Mapping[str, Any]] = {"children": EXAMPLES}

    type: Literal["Module"]


class Custom(WithTensors):
    """Named parameters, buffers and children, without a forward; its tensors have no own init."""

    example: ClassVar[Mapping[str, Any]] = {
        "parameters": [{"name": "scale", "shape": [5, 3]}],
        "buffers": [{"name": "count", "shape": [], "dtype": "int64"}],
    }
    example_rules = (
        {"match": {"name": "scale"}, "initializer": {"type": "normal", "std": 0.02}},
        {"match": {"name": "count"}, "initializer": {"type": "zeros"}},
    )

    type: Literal["Custom"]
    class_name: Annotated[Name, AfterValidator(_identifier)] = Field(
        default="Custom", description="Class name of the layer in rules and listings."
    )


class ModuleDict(Named):
    """nn.ModuleDict of the children."""

    module_class = nn.ModuleDict
    example: ClassVar[Mapping[str, Any]] = {"children": {"left": LINEAR, "right": LINEAR}}

    type: Literal["ModuleDict"]


class Repeat(Layer):
    """Sequential of `count` copies of a layer, named 0, 1, ..., each constructed separately."""

    chains = True
    example: ClassVar[Mapping[str, Any]] = {"count": 3, "layer": LINEAR}

    type: Literal["Repeat"]
    count: Size
    layer: AnyLayer


class Ref(Layer):
    """Earlier layer under another name: the same module and the same parameters."""

    example: ClassVar[Mapping[str, Any]] = {"ref": "shared"}

    type: Literal["Ref"]
    ref: Name = Field(description="The absolute dotted name of an earlier layer.")
