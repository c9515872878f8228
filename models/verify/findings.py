"""Findings of a verification: differences, unchecked tensors, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.stream import float4
from seedpoint.models.stream.float4 import FLOAT4
from seedpoint.models.verify.header import shown

Verdict = Literal["verified", "sample agrees", "incomplete", "differs"]


@dataclass(frozen=True, slots=True)
class Difference:
    """First element of a tensor that differs from its plan.

    `offset` is its position in the file, in bytes; `expected` and `found` are its bytes. When only
    a digest of the whole tensor is known, `offset` is that of the tensor and the rest is None.
    """

    file: str
    tensor: str
    dtype: DType
    offset: int
    element: int | None = None
    index: tuple[int, ...] | None = None
    expected: bytes | None = None
    found: bytes | None = None

    def __str__(self) -> str:
        place = f"{shown(self.tensor)} in {self.file}"
        if self.expected is None or self.found is None:
            return (
                f"{place}: its bytes from byte {self.offset} on differ from the literal in its plan"
            )
        return (
            f"{place}: element {self.element} {list(self.index or ())}, at byte {self.offset}, is "
            f"{number(self.found, self.dtype)} ({bits(self.found, self.dtype)}), not "
            f"{number(self.expected, self.dtype)} ({bits(self.expected, self.dtype)})"
        )

    def document(self) -> dict[str, Any]:
        """Return the difference as JSON.

        An element is its bytes in file order, and a number as text.
        """
        return {
            "file": self.file,
            "tensor": self.tensor,
            "offset": self.offset,
            "element": self.element,
            "index": None if self.index is None else list(self.index),
            "expected": self._element(self.expected),
            "found": self._element(self.found),
        }

    def _element(self, raw: bytes | None) -> dict[str, str] | None:
        return None if raw is None else {"bytes": raw.hex(), "value": number(raw, self.dtype)}


@dataclass(frozen=True, slots=True)
class Sample:
    """Sample of `count` blocks to check; `seed` chooses them."""

    count: int
    seed: int


@dataclass(frozen=True)
class Report:
    """Result of comparing one checkpoint's files with the plan in their own header.

    `files` maps paths to sizes in bytes. `total_bytes` counts the bytes of all tensors,
    `checked_bytes` the compared ones. `unchecked` are tensors whose bytes cannot be made here, with
    the reason. `same_plan` says whether today's libraries would make the same plan, None if that
    was not determined; `remark` adds details.
    """

    id: str
    files: Mapping[str, int]
    total_bytes: int
    checked_bytes: int
    sample: Sample | None
    differences: tuple[Difference, ...]
    unchecked: Mapping[str, str]
    same_plan: bool | None
    remark: str | None

    @property
    def verdict(self) -> Verdict:
        """Verdict; `verified` means that every byte was compared and agrees with the plan."""
        if self.differences:
            return "differs"
        if self.unchecked:
            return "incomplete"
        return "verified" if self.checked_bytes == self.total_bytes else "sample agrees"

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "id": self.id,
            "verdict": self.verdict,
            "files": dict(self.files),
            "bytes": self.total_bytes,
            "checked_bytes": self.checked_bytes,
            "sample": self.sample and {"count": self.sample.count, "seed": self.sample.seed},
            "differences": [difference.document() for difference in self.differences],
            "unchecked": dict(self.unchecked),
            "today": {"same_plan": self.same_plan, "remark": self.remark},
        }


def bits(raw: bytes, dtype: DType) -> str:
    """Return the bits of one little-endian element in hexadecimal, a complex one as two numbers."""
    size = len(raw) // 2 if dtype.torch.is_complex else len(raw)
    parts = (raw[start : start + size] for start in range(0, len(raw), size))
    return " ".join(f"0x{int.from_bytes(part, 'little'):0{2 * size}x}" for part in parts)


def number(raw: bytes, dtype: DType) -> str:
    """Return one element, little-endian, as a number; one of four bits is a byte's lower half."""
    if dtype.name == FLOAT4:
        return str(float(float4.VALUES[raw[0]]))
    return str(torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(dtype.torch).item())
