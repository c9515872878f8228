"""Linear interpolation as the kernel of a transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seedpoint.models.formulas.formula import Formula, Shape, along, require


@dataclass(frozen=True, slots=True)
class Bilinear(Formula):
    """Kernel that interpolates linearly, from each channel to the same one; zero between others.

    For a kernel axis of size k, with f = (k + 1) // 2 and the center f - 1 (odd k) or f - 1/2, the
    weight at j is 1 - |j - center| / f; the axes' weights are multiplied.
    """

    groups: int = 1

    type: ClassVar[str] = "bilinear"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(floating, "bilinear needs a floating tensor")
        require(
            len(shape) in (3, 4, 5),
            f"bilinear needs a kernel of three, four or five dimensions, not {list(shape)}",
        )
        require(
            type(self.groups) is int and self.groups > 0 and shape[0] % self.groups == 0,
            f"groups must divide {shape[0]}, the first size",
        )

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        first = along(index, shape, 0) % (shape[0] // self.groups)
        weight = (first == along(index, shape, 1)).to(torch.float64)
        for axis in range(2, len(shape)):
            size = shape[axis]
            factor = (size + 1) // 2
            center = factor - 1.0 if size % 2 else factor - 0.5
            place = along(index, shape, axis).to(torch.float64)
            weight = weight * (1.0 - (place - center).abs() / float(factor))
        return weight
