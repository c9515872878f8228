"""Custom layers: layers that PyTorch does not have, defined by their tensors alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.base import Layer, Name
from seedpoint.models.architectures.shapes import Shapes


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise PydanticCustomError("class_name", "expected a valid name of a Python class")
    return name


class Custom(Layer):
    """Named parameters and buffers, without a forward or an initialization of their own."""

    type: Literal["Custom"]
    parameters: Shapes = ()
    buffers: Shapes = ()
    class_name: Annotated[Name, AfterValidator(_identifier)] = Field(
        default="Custom", description="Class name of the layer in rules and listings."
    )
