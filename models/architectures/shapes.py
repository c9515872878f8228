"""Named tensors without values: a name, a shape and a dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.base import Name, Size, SpecPart
from seedpoint.models.architectures.json_type_union import LIST, LIST_OR_OBJECT, OBJECT
from seedpoint.models.architectures.limits import MAX_ELEMENTS, MAX_TENSOR_DIMS, numel
from seedpoint.models.dtypes import BY_CODE, BY_NAME, DType
from seedpoint.models.validation.messages import in_words


def _representable(shape: tuple[int, ...]) -> tuple[int, ...]:
    # With a size of 0, the strides of the other dimensions must still be representable.
    if numel(tuple(max(size, 1) for size in shape)) > MAX_ELEMENTS:
        raise PydanticCustomError(
            "too_many_elements",
            "a tensor of shape {shape} is too large; at most 2^53 - 1 elements",
            {"shape": str(list(shape))},
        )
    return shape


def check_shape(dtype: DType, shape: tuple[int, ...]) -> None:
    """Refuse a shape that no tensor of `dtype` has, as a fault of a pydantic model."""
    if (fault := dtype.shape_fault(shape)) is not None:
        raise PydanticCustomError("odd_size", "{fault}", {"at": ["shape"], "fault": fault})


Layout = Literal["out_in", "in_out"]
"""Order of a weight's output and input axes: PyTorch's, or that of Flax and Keras."""
Shape = Annotated[
    tuple[Size, ...], Field(max_length=MAX_TENSOR_DIMS), AfterValidator(_representable)
]
if TYPE_CHECKING:
    DTypeCode: TypeAlias = str
    DTypeName: TypeAlias = str
else:
    DTypeCode = Literal[tuple(BY_CODE)]
    DTypeName = Literal[(*BY_NAME, *BY_CODE)]


class Shaped(SpecPart):
    """Shape and dtype of a tensor; the dtype by PyTorch's name or safetensors' code.

    A shape counts elements, those of `float4_e2m1fn_x2` (`F4`) too. Their last size is even, and
    PyTorch shows half of it, because two share a byte.
    """

    shape: Shape
    dtype: DTypeName = "float32"

    @model_validator(mode="before")
    @classmethod
    def _is_no_list(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            named = '"name": ..., ' if "name" in cls.model_fields else ""
            raise PydanticCustomError(
                "shape_alone",
                "expected {object}, not {given}",
                {"object": f'{{{named}"shape": {_shown(value)}}}', "given": in_words(value)},
            )
        return value

    @model_validator(mode="after")
    def _has_whole_bytes(self) -> Self:
        check_shape(self.element, self.shape)
        return self

    @property
    def element(self) -> DType:
        """Dtype, as an entry of the table in `models.dtypes`."""
        return BY_NAME.get(self.dtype) or BY_CODE[self.dtype]


def _shown(sizes: Sequence[Any]) -> str:
    """Return a caller's list if it can be a shape, else an example of one."""
    is_shape = len(sizes) <= 8 and all(type(size) is int and 0 <= size < 2**53 for size in sizes)
    return str(list(sizes) if is_shape else [5, 3])


class NamedShape(Shaped):
    """Entry of a list of tensors."""

    name: Name


# List of named entries, or object of name -> entry, in document order.
Shapes = Annotated[
    Annotated[tuple[NamedShape, ...], LIST] | Annotated[dict[Name, Shaped], OBJECT],
    LIST_OR_OBJECT,
]


def entries(shapes: Shapes) -> Iterator[tuple[int | str, str, Shaped]]:
    """Yield (index or key in the document, name, shape and dtype) of every tensor."""
    if isinstance(shapes, dict):
        for name, shape in shapes.items():
            yield name, name, shape
    else:
        for index, named in enumerate(shapes):
            yield index, named.name, named
