"""Element types of a checkpoint, under the names of PyTorch and safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


class Limits(Protocol):
    """Limits of a floating type: the step after 1, the largest and the smallest normal number."""

    @property
    def eps(self) -> float: ...
    @property
    def max(self) -> float: ...
    @property
    def smallest_normal(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Float4Limits:
    """Limits of float4_e2m1fn: its numbers are 0, 0.5, 1, 1.5, 2, 3, 4 and 6, with either sign."""

    eps: float = 0.5
    max: float = 6.0
    smallest_normal: float = 1.0


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.

    `name` is PyTorch's (`bfloat16`), `code` is the safetensors header's (`BF16`). An item of
    `itemsize` bytes holds `per_item` elements: one, or two of four bits, which PyTorch's shapes
    count as one. Shapes here count elements, as in a header.
    """

    name: str
    code: str
    torch: torch.dtype
    itemsize: int
    per_item: int = 1

    @property
    def bits(self) -> int:
        """Bits of an element."""
        return 8 * self.itemsize // self.per_item

    def nbytes(self, elements: int) -> int:
        """Return the bytes of `elements` elements, which are whole items."""
        return elements // self.per_item * self.itemsize

    def elements(self, nbytes: int) -> int:
        """Return the elements of the whole items in `nbytes` bytes."""
        return nbytes // self.itemsize * self.per_item

    def covering(self, first: int, last: int) -> tuple[int, int]:
        """Return the elements [start, stop) of the items that bytes [first, last) are part of."""
        return self.elements(first), self.elements(last + self.itemsize - 1)

    def whole_items(self, start: int, stop: int) -> tuple[int, int]:
        """Return the elements [first, last) of the items that elements [start, stop) are in."""
        return start // self.per_item * self.per_item, -(-stop // self.per_item) * self.per_item

    def shape_fault(self, shape: tuple[int, ...]) -> str | None:
        """Return why no tensor of this type has `shape`, counted in elements; None if one has."""
        if self.per_item == 1 or (shape and shape[-1] % self.per_item == 0):
            return None
        return (
            f"two elements of {self.name} share a byte, so the last size of a shape is even; "
            f"not {list(shape)}"
        )

    @property
    def limits(self) -> Limits:
        """Limits of a floating type."""
        return Float4Limits() if self.per_item > 1 else torch.finfo(self.torch)

    @property
    def is_floating(self) -> bool:
        return self.torch.is_floating_point

    @property
    def is_narrow(self) -> bool:
        """True for a floating type to which float32 values are rounded."""
        return self.is_floating and self.itemsize < 4

    @property
    def has_infinity(self) -> bool:
        """True for a floating type whose elements can be infinite."""
        if not self.is_floating or self.per_item > 1:
            return False
        return bool(torch.tensor(torch.inf).to(self.torch).float().isinf())

    def takes(self, value: float) -> bool:
        """Return whether an element can be set to `value`.

        Integers and bools must hold it exactly. Types computed in float32 need a value within
        float32's range.
        """
        if self.is_floating or self.torch.is_complex:
            return self.name == "float64" or abs(value) <= torch.finfo(torch.float32).max
        low, high = self._bounds
        return low <= value <= high and int(value) == value

    def converts(self, other: DType) -> bool:
        """Return whether elements of `other` can be converted to this type, whatever they are.

        Numbers of four bits convert to no other type. Floating and complex types round, once from
        float64 or float32, which hold integers of up to 32 bits. Integers and bools need every
        value of `other`.
        """
        if self is other or other.torch.is_complex:
            return self is other
        if other.per_item > 1:
            return False
        if self.is_floating or self.torch.is_complex:
            return other.is_floating or other.itemsize <= 4
        if other.is_floating:
            return False
        (low, high), (least, most) = self._bounds, other._bounds
        return low <= least and most <= high

    @property
    def _bounds(self) -> tuple[int, int]:
        """Least and greatest value of an integer or bool."""
        if self.name == "bool":
            return 0, 1
        info = torch.iinfo(self.torch)
        return info.min, info.max

    def __str__(self) -> str:
        return self.name


def _dtypes(*names: tuple[str, str]) -> tuple[DType, ...]:
    """Return the types that this version of torch has, of pairs of a name and a code."""
    return tuple(_dtype(name, code) for name, code in names if hasattr(torch, name))


def _dtype(name: str, code: str) -> DType:
    dtype: torch.dtype = getattr(torch, name)
    return DType(name, code, dtype, dtype.itemsize, 2 if name.endswith("_x2") else 1)


# In the order of the safetensors library's `Dtype` enum, by which it lays out a file (highest
# first, then by name). tests/models/files/test_layout.py checks the order against the library.
DTYPES = _dtypes(
    ("bool", "BOOL"),
    ("float4_e2m1fn_x2", "F4"),
    ("uint8", "U8"),
    ("int8", "I8"),
    ("float8_e5m2", "F8_E5M2"),
    ("float8_e4m3fn", "F8_E4M3"),
    ("float8_e8m0fnu", "F8_E8M0"),
    ("float8_e4m3fnuz", "F8_E4M3FNUZ"),
    ("float8_e5m2fnuz", "F8_E5M2FNUZ"),
    ("int16", "I16"),
    ("uint16", "U16"),
    ("float16", "F16"),
    ("bfloat16", "BF16"),
    ("int32", "I32"),
    ("uint32", "U32"),
    ("float32", "F32"),
    ("complex64", "C64"),
    ("float64", "F64"),
    ("int64", "I64"),
    ("uint64", "U64"),
)

BY_NAME = {dtype.name: dtype for dtype in DTYPES}
BY_CODE = {dtype.code: dtype for dtype in DTYPES}
BY_TORCH = {dtype.torch: dtype for dtype in DTYPES}
RANK = {dtype.code: rank for rank, dtype in enumerate(DTYPES)}


def f32(value: float) -> float:
    """Round `value`, a binary64 number, once to binary32 (as a Python float)."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
