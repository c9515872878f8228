"""Base of all formulas: sources whose elements are functions of their position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """Source of which each element is a function of its place in the tensor, and of nothing else.

    The arguments, which subclasses hold, are those of the plan. Functions compute in binary64 with
    one rounding for each operation (`pointwise`), so the bits are the same everywhere.
    """

    type: ClassVar[str]

    def check(self, shape: Shape, *, floating: bool) -> None:
        """Check that the formula can fill a tensor of `shape`.

        Raises:
            ValueError: It cannot, or an argument is wrong.
        """
        raise NotImplementedError

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        """Return the elements at row-major indices (int64), as float64 or int64."""
        raise NotImplementedError

    def values(
        self, start: int, stop: int, shape: Shape, *, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Return elements [start, stop), as float64 or int64."""
        return self.at(torch.arange(start, stop, device=device), shape)


def require(holds: bool, fault: str) -> None:
    """Raise ValueError with `fault` unless the condition holds."""
    if not holds:
        raise ValueError(fault)


def along(index: Tensor, shape: Shape, axis: int) -> Tensor:
    """Return the index along one axis, which may be negative, of row-major indices."""
    axis %= len(shape)
    return index // math.prod(shape[axis + 1 :]) % shape[axis]


def is_finite(value: object) -> bool:
    """Return whether `value` is a finite number, and no bool."""
    return type(value) in (int, float) and math.isfinite(float(value))  # type: ignore[arg-type]


def is_axis(axis: object, shape: Shape) -> bool:
    """Return whether `axis` is an axis of `shape`; negative ones count from the end."""
    return type(axis) is int and -len(shape) <= axis < len(shape)
