"""Evenly spaced numbers along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seedpoint.models.formulas.formula import Formula, Shape, along, is_axis, is_finite, require

_EXACT = 2**53  # largest magnitude of whole numbers that are counted as integers


@dataclass(frozen=True, slots=True)
class Arange(Formula):
    """start + step * k at index k along `axis`, the same along the other axes."""

    start: float = 0.0
    step: float = 1.0
    axis: int = -1

    type: ClassVar[str] = "arange"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(is_finite(self.start) and is_finite(self.step), "arange needs finite numbers")
        require(is_axis(self.axis, shape), f"axis {self.axis} is outside {len(shape)} dimensions")
        require(
            floating or self._is_whole(shape[self.axis]),
            f"start {self.start} and step {self.step} do not give integers below 2^53, which a "
            "tensor that is not floating needs",
        )

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        steps = along(index, shape, self.axis)
        if self._is_whole(shape[self.axis]):
            return steps * int(self.step) + int(self.start)
        return steps.to(torch.float64) * float(self.step) + float(self.start)

    def _is_whole(self, size: int) -> bool:
        whole = float(self.start).is_integer() and float(self.step).is_integer()
        return whole and abs(self.start) + abs(self.step) * size <= _EXACT


@dataclass(frozen=True, slots=True)
class Linspace(Formula):
    """Evenly spaced numbers from `start` to `end`, both included, along `axis`.

    The upper half counts down from `end`, as `torch.linspace` does.
    """

    start: float
    end: float
    axis: int = -1

    type: ClassVar[str] = "linspace"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(is_finite(self.start) and is_finite(self.end), "linspace needs finite numbers")
        require(is_finite(float(self.end) - float(self.start)), "linspace is too wide for float64")
        require(is_axis(self.axis, shape), f"axis {self.axis} is outside {len(shape)} dimensions")
        require(floating, "linspace needs a floating tensor; arange counts in integers")

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        last = shape[self.axis] - 1
        start, end = float(self.start), float(self.end)
        step = (end - start) / last if last > 0 else 0.0
        steps = along(index, shape, self.axis)
        up = steps.to(torch.float64) * step + start
        down = (steps - last).to(torch.float64) * step + end
        return torch.where(steps < (last + 1) // 2 if last > 0 else steps == 0, up, down)
