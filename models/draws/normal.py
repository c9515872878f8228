"""Normal draw."""

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
from seedpoint.models.draws.standard import NORMAL, Line
from seedpoint.models.dtypes import f32


@dataclass(frozen=True, slots=True)
class Normal(Draw):
    """Draw `normal(mean, std)` of the stream; `f32` is (f32(std), f32(mean))."""

    mean: float
    std: float

    type: ClassVar[str] = "normal"
    constants: ClassVar[int] = 2
    recorded: ClassVar[Mapping[str, slice]] = {
        "normal_.default": slice(1, 3),
        "randn.default": slice(0),
        "randn_like.default": slice(0),
        "normal.float_float": slice(0, 2),
    }

    @classmethod
    def of(
        cls, mean: float = 0.0, std: float = 1.0, *, draw: int = 0, stream: str | None = None
    ) -> Self:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: std < 0, or a constant is beyond float32.
        """
        mean, std = float(mean), float(std)
        constants = (f32(std), f32(mean))
        if not all(map(math.isfinite, constants)):
            raise ValueError(f"normal needs a finite mean and std, not {mean} and {std}")
        if std < 0:
            raise ValueError(f"normal needs std >= 0, not {std}")
        return cls(mean, std, f32=constants, draw=draw, stream=stream)

    @property
    def line(self) -> Line:
        return Line(NORMAL, self.std, self.mean)

    @property
    def reach(self) -> float:
        return abs(self.mean) + 9 * self.std  # beyond with probability 2e-19

    def fill(self, value: torch.Tensor) -> None:
        value.normal_(self.mean, self.std)

    def sample(
        self, generator: np.random.RandomState, shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        return generator.normal(self.mean, self.std, shape)
