"""Architectures that are a plain list of tensors, of any framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.base import Layer, Name, Size, SpecPart
from seedpoint.models.architectures.limits import numel
from seedpoint.models.architectures.shapes import (
    DTypeCode,
    Layout,
    Shape,
    Shaped,
    Shapes,
    check_shape,
    entries,
)
from seedpoint.models.dtypes import BY_CODE, DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join

_METADATA = "__metadata__"  # key that safetensors reserves; never a tensor's name


class HeaderEntry(SpecPart):
    """Tensor as the header of a safetensors file lists it."""

    dtype: DTypeCode
    shape: Shape
    data_offsets: Annotated[tuple[Size, ...], Field(min_length=2, max_length=2)] | None = None

    @property
    def element(self) -> DType:
        """Dtype, as an entry of the table in `models.dtypes`."""
        return BY_CODE[self.dtype]

    @model_validator(mode="after")
    def _spans_its_elements(self) -> HeaderEntry:
        check_shape(self.element, self.shape)
        if self.data_offsets is not None:
            start, stop = self.data_offsets
            expected = self.element.nbytes(numel(self.shape))
            if stop - start != expected:
                raise PydanticCustomError(
                    "data_offsets",
                    "expected {expected} bytes between the offsets, not {found}",
                    {"at": ["data_offsets"], "expected": expected, "found": stop - start},
                )
        return self


def _without_metadata(header: Any) -> Any:
    if isinstance(header, Mapping):
        return {name: entry for name, entry in header.items() if name != _METADATA}
    return header


Header = Annotated[dict[Name, HeaderEntry], BeforeValidator(_without_metadata)]


class Tensors(Layer):
    """List of tensors, or the header of an existing safetensors file."""

    example: ClassVar[Mapping[str, Any]] = {
        "tensors": [{"name": "embed.weight", "shape": [10, 4], "dtype": "bfloat16"}]
    }
    example_rules = ({"match": {}, "initializer": {"type": "normal", "std": 0.02}},)

    type: Literal["tensors"]
    tensors: Shapes | None = None
    header: Header | None = None
    layout: Layout = Field(
        default="out_in",
        description="Order of the last axes of weights: `out_in`, outputs first, as PyTorch has "
        "them, or `in_out`, outputs last, as the kernels of Flax and Keras (HWIO).",
    )

    @property
    def names(self) -> list[str]:
        """Names in document order."""
        if self.header is not None:
            return list(self.header)
        return [name for _, name, _ in entries(self.tensors or ())]

    @model_validator(mode="after")
    def _exactly_one(self) -> Tensors:
        if (self.tensors is None) == (self.header is None):
            raise PydanticCustomError("tensors_or_header", "expected either tensors or header")
        return self


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """Tensor of a list; `path` is its place in the spec."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    path: str
    layout: Layout = "out_in"


@dataclass(frozen=True, slots=True)
class TensorList:
    """Tensors of an architecture that is a plain list, in document order."""

    tensors: tuple[NamedTensor, ...]


def tensor_list(architecture: Tensors, *, root: str = "architecture") -> TensorList:
    """Return the tensors of `architecture`; `root` is its path in the spec.

    Raises:
        SpecError: For a name that is given twice, empty, or reserved by the file format.
    """
    listed = tuple(
        NamedTensor(name, entry.shape, entry.element, path, architecture.layout)
        for path, name, entry in _listed(architecture, root)
    )
    seen: set[str] = set()
    faults = []
    for tensor in listed:
        fault = _name_fault(tensor.name, seen)
        if fault:
            in_list = isinstance(architecture.tensors, tuple)
            path = join(tensor.path, "name") if in_list else tensor.path
            faults.append(Fault(path, fault))
        seen.add(tensor.name)
    if faults:
        raise SpecError(faults)
    return TensorList(listed)


def _listed(architecture: Tensors, root: str) -> list[tuple[str, str, Shaped | HeaderEntry]]:
    if architecture.header is not None:
        return [(join(root, "header", name), name, e) for name, e in architecture.header.items()]
    shapes = () if architecture.tensors is None else architecture.tensors
    return [(join(root, "tensors", key), name, entry) for key, name, entry in entries(shapes)]


def _name_fault(name: str, seen: set[str]) -> str | None:
    if not name:
        return "a tensor's name cannot be empty"
    if name == _METADATA:
        return f"{_METADATA} is reserved by the safetensors format"
    return f"{name!r} is given twice" if name in seen else None
