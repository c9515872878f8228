"""What every layer of an architecture may say, and the scalar types of its arguments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.limits import MAX_INTEGER


def _encodable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "lone_surrogate", "holds a lone surrogate, which UTF-8 cannot encode"
        ) from None
    return name


def _negative_zero(value: Any) -> Any:
    """`-0.0` where a canonical spec has it as a string, since RFC 8785 would write 0."""
    return -0.0 if isinstance(value, str) and value == "-0.0" else value


def integer(minimum: int | None = None) -> Any:
    """A JSON integer of at least `minimum`; never a string, a boolean or 2.0."""
    least = -MAX_INTEGER if minimum is None else minimum
    return Annotated[int, Strict(), Field(ge=least, le=MAX_INTEGER)]


def list_of(item: Any, length: int | None = None, *, at_most: int | None = None) -> Any:
    """A JSON list of `item`: of any length, of exactly `length`, or of no more than `at_most`."""
    if length is None:
        any_length = tuple[item, ...]
        return any_length if at_most is None else Annotated[any_length, Field(max_length=at_most)]
    return Annotated[tuple[item, ...], Field(min_length=length, max_length=length)]


Size = Annotated[int, Strict(), Field(ge=0, le=MAX_INTEGER)]
Number = Annotated[float, BeforeValidator(_negative_zero), Strict(), Field(allow_inf_nan=False)]
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
