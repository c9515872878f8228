"""Triangles of a matrix: one value inside, another outside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seedpoint.models.formulas.formula import Formula, Shape, along, require


@dataclass(frozen=True, slots=True)
class _Triangle(Formula):
    """`val` in a triangle of the last two axes and `outside` elsewhere."""

    val: float = 1.0
    outside: float = 0.0
    diagonal: int = 0

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(len(shape) >= 2, f"{self.type} needs at least two dimensions, not {list(shape)}")
        require(type(self.diagonal) is int, "diagonal is not an integer")
        numbers = [float(value) for value in (self.val, self.outside)]
        require(not any(map(math.isnan, numbers)), "a value is not a number")
        require(
            floating or all(number.is_integer() and abs(number) < 2**53 for number in numbers),
            "a tensor that is not floating needs integers",
        )

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        row, column = along(index, shape, -2), along(index, shape, -1)
        # A diagonal past the last element of a tensor is as far as any, and fits 64 bits.
        inside = self._inside(column - row, max(-(2**53), min(self.diagonal, 2**53)))
        whole = all(float(v).is_integer() and abs(v) < 2**53 for v in (self.val, self.outside))
        dtype = torch.int64 if whole else torch.float64
        val, outside = (
            torch.tensor(value, dtype=dtype, device=index.device)
            for value in (self.val, self.outside)
        )
        return torch.where(inside, val, outside)

    def _inside(self, offset: Tensor, diagonal: int) -> Tensor:
        """Return whether elements so far right of the main diagonal are inside."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Tril(_Triangle):
    """`val` on and below a diagonal, `outside` above it."""

    type = "tril"

    def _inside(self, offset: Tensor, diagonal: int) -> Tensor:
        return offset <= diagonal


@dataclass(frozen=True, slots=True)
class Triu(_Triangle):
    """`val` on and above a diagonal, `outside` below it."""

    type = "triu"

    def _inside(self, offset: Tensor, diagonal: int) -> Tensor:
        return offset >= diagonal
