"""Tables of sines and cosines by position, and the frequencies of rotary embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seedpoint.models.formulas import pointwise
from seedpoint.models.formulas.formula import Formula, Shape, along, is_finite, require

LAYOUTS = ("interleaved", "halves")


@dataclass(frozen=True, slots=True)
class Sinusoidal(Formula):
    """Sine and cosine of position / base^(2k/d), for d columns and a position for each row.

    `interleaved` has sines in even columns 2k and cosines in odd ones 2k + 1; `halves` has all
    sines before all cosines.
    """

    base: float = 10000.0
    layout: str = "interleaved"

    type: ClassVar[str] = "sinusoidal"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(floating, "sinusoidal needs a floating tensor")
        require(
            len(shape) >= 2,
            f"sinusoidal needs positions and columns, not shape {list(shape)}; the frequencies of "
            "rotary embeddings are inv_freq",
        )
        require(self.layout in LAYOUTS, f"layout is not one of {', '.join(LAYOUTS)}")
        _check_base(self.base)

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        column, columns = along(index, shape, -1), shape[-1]
        if self.layout == "interleaved":
            pair, is_sine = column // 2, column % 2 == 0
        else:
            sines = (columns + 1) // 2
            is_sine = column < sines
            pair = torch.where(is_sine, column, column - sines)
        angle = along(index, shape, -2).to(torch.float64) * _frequency(pair, self.base, columns)
        return torch.where(is_sine, pointwise.sin(angle), pointwise.cos(angle))


@dataclass(frozen=True, slots=True)
class InvFreq(Formula):
    """base^(-2k/dim) at index k along the last axis; `dim` is twice its size unless given."""

    base: float = 10000.0
    dim: int | None = None

    type: ClassVar[str] = "inv_freq"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(floating, "inv_freq needs a floating tensor")
        require(len(shape) >= 1, "inv_freq needs at least one dimension")
        require(self.dim is None or (type(self.dim) is int and self.dim > 0), "dim is not positive")
        _check_base(self.base)

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        return _frequency(along(index, shape, -1), self.base, self.dim or 2 * shape[-1])


def _check_base(base: object) -> None:
    require(is_finite(base) and base > 0, f"base must be above 0, not {base}")  # type: ignore[operator]


def _frequency(pair: Tensor, base: float, dim: int) -> Tensor:
    """Return base^(-2 pair / dim): e to the power of 2 pair / dim times -ln(base)."""
    # ln by the stream's own series, for the platform's library may differ in the last bit.
    log_base = pointwise.log(torch.tensor(float(base), dtype=torch.float64)).item()
    assert math.isfinite(log_base)
    return pointwise.exp((pair + pair).to(torch.float64) / float(dim) * -log_base)
