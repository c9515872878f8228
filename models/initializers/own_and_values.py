"""Initializers that use existing values: the module's own init, or given numbers."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PlainValidator, WithJsonSchema

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.initializers.base import INFINITE, ArgumentError, Initializer, Target
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
            raise ValueError(f"must hold at most {MAX_VALUES} numbers in {MAX_DIMENSIONS} levels")
        level = [item for row in level for item in row]
    if any(isinstance(item, float) and not math.isfinite(item) for item in level):
        raise ValueError('must be finite numbers, "Infinity" or "-Infinity"')
    level = [_WRITTEN.get(item, item) if isinstance(item, str) else item for item in level]
    level = [
        int(item) if isinstance(item, str) and _INTEGER.fullmatch(item) else item for item in level
    ]
    for item in level:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(
                "must be numbers in lists of equal length; a complex one is [real, imaginary]"
            )
        if isinstance(item, int) and abs(item) > sys.float_info.max:
            raise ValueError("must be finite numbers, none beyond float64")
    return tuple(shape), tuple(level)


Nested = Annotated[
    Any,
    PlainValidator(lambda values: (_numbers(values), values)[1]),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {}}, {"type": "number"}]}),
]


class Values(Initializer):
    """Given numbers: nested lists in the tensor's shape, or one flat list.

    "Infinity" and "-Infinity" are numbers here. A complex tensor takes real numbers, or
    [real, imaginary] in place of each.
    """

    type: Literal["values"]
    values: Nested = Field(examples=[[[0.5, -0.5], [0.25, 1.0]]])
    draws: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"values": [[0.5, -0.5], [0.25, 1.0]]}
    example_shape = (2, 2)

    def source(self, target: Target) -> Source:
        shape: tuple[int, ...]
        numbers: tuple[Any, ...]
        shape, numbers = _numbers(self.values)
        is_complex, flat = target.dtype.torch.is_complex, (math.prod(target.shape),)
        if is_complex and shape in ((*target.shape, 2), (*flat, 2)):
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            shape, numbers = target.shape, tuple(complex(*pair) for pair in pairs)
        if shape not in (target.shape, flat):
            pairs_shape = f", or {[*target.shape, 2]} with imaginary parts" if is_complex else ""
            raise ArgumentError(
                "values",
                f"values have shape {list(shape)}; the tensor's is {list(target.shape)}"
                f"{pairs_shape}",
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
