"""Initializers that use existing values: the module's own init, or given numbers."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.initializers.base import INFINITE, ArgumentError, Initializer, Target
from seedpoint.models.initializers.blob_tensors import FileTensor
from seedpoint.models.plan.program import Source

MAX_VALUES = 1 << 20  # numbers in one tensor
MAX_DIMENSIONS = 64  # lists nested in one another


class Own(Initializer):
    """The module's own init, as its PyTorch code does it (`reset_parameters`)."""

    type: Literal["own"]
    draws: ClassVar[bool] = False

    def source(self, target: Target) -> Source:
        raise ValueError("own is the module's own init and cannot be part of another initializer")


# Numbers that a canonical spec holds as strings because RFC 8785 would lose them.
_WRITTEN: dict[str, Any] = {"-0.0": -0.0, **INFINITE}
_INTEGER = re.compile("-?[0-9]{1,309}")  # digits of the largest float64


def _numbers(values: Any) -> tuple[tuple[int, ...], tuple[int | float, ...]]:
    """Return nested lists of numbers as (shape, flat values in row-major order)."""
    shape: list[int] = []
    level: list[Any] = [values]
    while level and isinstance(level[0], list | tuple):
        shape.append(len(level[0]))
        if any(not isinstance(row, list | tuple) or len(row) != shape[-1] for row in level):
            raise ValueError("must be numbers in lists of equal length")
        if len(level) * shape[-1] > MAX_VALUES or len(shape) > MAX_DIMENSIONS:
            raise ValueError(
                f"must hold at most {MAX_VALUES} numbers in {MAX_DIMENSIONS} levels; more can be "
                "in a safetensors file (`file`)"
            )
        level = [item for row in level for item in row]
    if any(isinstance(item, float) and not math.isfinite(item) for item in level):
        raise ValueError('must be finite numbers, "Infinity" or "-Infinity"')
    level = [_WRITTEN.get(item, item) if isinstance(item, str) else item for item in level]
    level = [
        int(item) if isinstance(item, str) and _INTEGER.fullmatch(item) else item for item in level
    ]
    for item in level:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError("must be numbers in lists of equal length")
        if isinstance(item, int) and abs(item) > sys.float_info.max:
            raise ValueError("must be finite numbers, none beyond float64")
    return tuple(shape), tuple(level)


Nested = Annotated[
    Any,
    PlainValidator(lambda values: (_numbers(values), values)[1]),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {}}, {"type": "number"}]}),
]


class Values(Initializer):
    """Given numbers: nested lists in the tensor's shape, or one flat list; or a tensor in a file.

    "Infinity" and "-Infinity" are numbers here. A complex tensor takes real numbers, or
    [real, imaginary] in place of each. Elements of a file are converted as numbers are; those of
    the tensor's own dtype stay the same, bit for bit.
    """

    type: Literal["values"]
    values: Nested = Field(
        default=None,
        examples=[[[0.5, -0.5], [0.25, 1.0]]],
        description="Numbers; at most 2^20.",
    )
    file: FileTensor | None = Field(
        default=None,
        description="Tensor in a safetensors file, in place of `values`: the file's `sha256`, and "
        "the name of a `tensor` of the shape to fill. Give the file to the service by "
        "`PUT /v1/blobs/{sha256}`, and to the command line by `--blob FILE`.",
    )
    draws: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"values": [[0.5, -0.5], [0.25, 1.0]]}
    example_shape = (2, 2)

    @model_validator(mode="after")
    def _exactly_one(self) -> Values:
        if (self.values is None) == (self.file is None):
            raise PydanticCustomError("values_or_file", "expected either values or file")
        return self

    def source(self, target: Target) -> Source:
        if self.file is not None:
            return self.file.source(target)
        shape: tuple[int, ...]
        numbers: tuple[Any, ...]
        shape, numbers = _numbers(self.values)
        if target.dtype.torch.is_complex and shape == (*target.shape, 2):
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            shape, numbers = target.shape, tuple(complex(*pair) for pair in pairs)
        if shape != target.shape and shape != (math.prod(target.shape),):
            raise ArgumentError(
                "values",
                f"values have shape {list(shape)}; the tensor's is {list(target.shape)}",
            )
        dtype = target.dtype
        if dtype.is_floating and dtype.name != "float64":
            dtype = BY_NAME["float32"]
        infinite = any(abs(number) == math.inf for number in numbers)
        if infinite and not target.dtype.has_infinity:
            raise ArgumentError("values", f"{target.dtype} has no infinity")
        return target.literal(_array(numbers, dtype.torch), dtype)


def _array(numbers: tuple[Any, ...], dtype: torch.dtype) -> np.ndarray:
    if dtype.is_complex:
        given = np.asarray(numbers, dtype=np.complex128)
        with np.errstate(over="ignore"):
            single = given.astype(np.complex64)
        if not np.isfinite(single).all():
            raise ArgumentError("values", f"a value exceeds the range of {_name(dtype)}")
        return single
    if dtype.is_floating_point:
        array = np.asarray([float(number) for number in numbers], dtype=np.float64)
        with np.errstate(over="ignore"):
            kept = array.astype(np.float32) if dtype == torch.float32 else array
        if not (np.isfinite(kept) | np.isinf(array)).all():
            raise ArgumentError("values", f"a value exceeds the range of {_name(dtype)}")
        return kept
    integers = [int(number) for number in numbers]
    low, high = (0, 1) if dtype == torch.bool else _limits(dtype)
    if any(a != b or not low <= a <= high for a, b in zip(integers, numbers, strict=True)):
        raise ArgumentError("values", f"a value does not fit {_name(dtype)}")
    return np.asarray(integers, dtype=_name(dtype))


def _limits(dtype: torch.dtype) -> tuple[int, int]:
    info = torch.iinfo(dtype)
    return info.min, info.max


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
