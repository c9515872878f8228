"""Uniform draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from seedpoint.models.draws.draw import Draw
from seedpoint.models.draws.standard import UNIFORM, Line
from seedpoint.models.dtypes import f32


@dataclass(frozen=True, slots=True)
class Uniform(Draw):
    """Draw `uniform(low, high)` of the stream; `f32` is (f32(high - low), f32(low))."""

    low: float
    high: float

    type: ClassVar[str] = "uniform"
    constants: ClassVar[int] = 2
    recorded: ClassVar[Mapping[str, slice]] = {
        "uniform_.default": slice(1, 3),
        "rand.default": slice(0),
        "rand_like.default": slice(0),
    }

    @classmethod
    def of(
        cls, low: float = 0.0, high: float = 1.0, *, draw: int = 0, stream: str | None = None
    ) -> Self:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: high < low, or a bound or the width is beyond float32.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"uniform bounds must be finite, not {low} and {high}")
        if high < low:
            raise ValueError(f"uniform needs low <= high, not {low} > {high}")
        low, high = float(low), float(high)
        constants = (f32(high - low), f32(low))
        if not all(map(math.isfinite, constants)):
            raise ValueError(f"uniform({low}, {high}) is wider than float32 can hold")
        return cls(low, high, f32=constants, draw=draw, stream=stream)

    @property
    def line(self) -> Line:
        half, middle = self.high / 2 - self.low / 2, self.high / 2 + self.low / 2
        return Line(UNIFORM, half, middle)

    @property
    def reach(self) -> float:
        return max(abs(self.low), abs(self.high))

    def fill(self, value: torch.Tensor) -> None:
        value.uniform_(self.low, self.high)

    def sample(
        self, generator: np.random.RandomState, shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        return generator.uniform(self.low, self.high, shape)
