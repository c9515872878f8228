"""What every layer of an architecture may say, and the scalar types of its arguments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from models.architectures.limits import MAX_INTEGER


def _encodable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "lone_surrogate", "holds a lone surrogate, which UTF-8 cannot encode"
        ) from None
    return name


def integer(minimum: int | None = None) -> Any:
    """A JSON integer of at least `minimum`; never a string, a boolean or 2.0."""
    least = -MAX_INTEGER if minimum is None else minimum
    return Annotated[int, Strict(), Field(ge=least, le=MAX_INTEGER)]


def list_of(item: Any, length: int | None = None) -> Any:
    """A JSON list of `item`, of any length or of exactly `length`."""
    if length is None:
        return tuple[item, ...]
    return Annotated[tuple[item, ...], Field(min_length=length, max_length=length)]


Size = Annotated[int, Strict(), Field(ge=0, le=MAX_INTEGER)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Strict(), AfterValidator(_encodable)]


class Part(BaseModel):
    """A frozen object of the spec that takes no keys but its own."""

    # Schemas are built on first use: a class at a time would build the whole union each time.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Layer(Part):
    """A layer: one object of an architecture."""

    type: str
    name: Name | None = Field(
        default=None, description="Where the layer's container names its children."
    )
    tie: dict[Name, Name] = Field(
        default={},
        description=(
            "Own tensor (a path relative to this layer) -> absolute name of the tensor "
            "that it becomes: the same tensor, under both names."
        ),
    )
    input_shape: tuple[Size, ...] | None = Field(
        default=None,
        description=(
            "Only at the top of an architecture: the shape, batch included, of the input "
            "from which Lazy layers take their sizes."
        ),
    )


COMMON = frozenset(Layer.model_fields)
