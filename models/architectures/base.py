"""Base classes of the layers of an architecture, and the scalar types of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

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
    """Return -0.0 for the string "-0.0", and any other value unchanged.

    A canonical spec holds -0.0 as a string because RFC 8785 would write it as 0.
    """
    return -0.0 if isinstance(value, str) and value == "-0.0" else value


def integer(minimum: int | None = None) -> Any:
    """Return the type of a JSON integer of at least `minimum`.

    Strings, booleans and 2.0 are refused.
    """
    least = -MAX_INTEGER if minimum is None else minimum
    return Annotated[int, Strict(), Field(ge=least, le=MAX_INTEGER)]


def list_of(item: Any, length: int | None = None, *, at_most: int | None = None) -> Any:
    """Return the type of a JSON list of `item`, of any length, of `length`, or up to `at_most`."""
    if length is None:
        any_length = tuple[item, ...]
        return any_length if at_most is None else Annotated[any_length, Field(max_length=at_most)]
    return Annotated[tuple[item, ...], Field(min_length=length, max_length=length)]


Size = Annotated[int, Strict(), Field(ge=0, le=MAX_INTEGER)]
Number = Annotated[float, BeforeValidator(_negative_zero), Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Strict(), AfterValidator(_encodable)]


class SpecPart(BaseModel):
    """Frozen object of a spec; unknown keys are refused."""

    # Schemas are built on first use: at class creation, each would build the whole union again.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    example: ClassVar[Mapping[str, Any]] = {}
    """Arguments in the catalogue's example of a type that is no class of torch.nn."""
    example_rules: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Rules in the catalogue's spec of a type that has no init of its own."""


class Layer(SpecPart):
    """Base class of the layers of an architecture."""

    chains: ClassVar[bool] = False
    """True for a layer whose inner layers run one after another, each on the output before it."""

    type: str
    name: Name | None = Field(
        default=None, description="Name of the layer, where its container names its children."
    )
    tie: dict[Name, Name] = Field(
        default={},
        description=(
            "Path of a tensor in this layer -> absolute name of an earlier tensor; both "
            "names then stand for one tensor."
        ),
    )
    input_shape: tuple[Size, ...] | None = Field(
        default=None,
        description=(
            "Shape of the input, batch included, from which Lazy layers infer their sizes; "
            "only at the top of an architecture."
        ),
    )

    @property
    def child_name(self) -> str | None:
        """Name that the layer gives itself as a child; None if it gives none."""
        return self.name


COMMON = frozenset({*Layer.model_fields, "parametrizations"})
"""Fields of layers that are no arguments of a constructor."""
