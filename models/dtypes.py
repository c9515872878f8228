"""Element types of a checkpoint, under the names of PyTorch and safetensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.

    `name` is PyTorch's (`bfloat16`), `code` is the safetensors header's (`BF16`).
    """

    name: str
    code: str
    torch: torch.dtype
    itemsize: int

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
        return self.is_floating and bool(torch.tensor(torch.inf).to(self.torch).float().isinf())

    def takes(self, value: float) -> bool:
        """Return whether an element can be set to `value`.

        Integers and bools must hold it exactly. Types computed in float32 need a value within
        float32's range.
        """
        if self.is_floating or self.torch.is_complex:
            return self.name == "float64" or abs(value) <= torch.finfo(torch.float32).max
        info = None if self.name == "bool" else torch.iinfo(self.torch)
        low, high = (0, 1) if info is None else (info.min, info.max)
        return low <= value <= high and int(value) == value

    def __str__(self) -> str:
        return self.name


def _dtypes(*names: tuple[str, str]) -> tuple[DType, ...]:
    """Return the types that this version of torch has, of pairs of a name and a code."""
    known = [(name, code) for name, code in names if hasattr(torch, name)]
    return tuple(DType(name, code, (t := getattr(torch, name)), t.itemsize) for name, code in known)


# In the order of the safetensors library's `Dtype` enum, by which it lays out a file (highest
# first, then by name). tests/models/files/test_layout.py checks the order against the library.
DTYPES = _dtypes(
    ("bool", "BOOL"),
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
