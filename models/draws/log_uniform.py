"""Log-uniform draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from seedpoint.models.draws.draw import Draw
from seedpoint.models.draws.standard import UNIFORM, Exponential, Line
from seedpoint.models.dtypes import f32

_EXPONENT_ROUNDINGS = 4  # of constants and operations, each relative to the largest exponent


@dataclass(frozen=True, slots=True)
class LogUniform(Draw):
    """Draw `log_uniform(a, b)` of the stream: uniform in the exponent, within [a, b].

    `f32` is (f32(ln b - ln a), f32(ln a), f32(a), f32(b)).
    """

    a: float
    b: float

    type: ClassVar[str] = "log_uniform"
    constants: ClassVar[int] = 4

    @classmethod
    def of(cls, a: float, b: float, *, draw: int = 0, stream: str | None = None) -> Self:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: a <= 0, a >= b, or a bound is zero or infinite in float32.
        """
        a, b = float(a), float(b)
        if not (f32(a) > 0 and math.isfinite(f32(b))):
            raise ValueError(f"log_uniform needs positive float32 bounds, not {a} and {b}")
        if not a < b:
            raise ValueError(f"log_uniform needs a < b, not {a} >= {b}")
        constants = (f32(math.log(b) - math.log(a)), f32(math.log(a)), f32(a), f32(b))
        return cls(a, b, f32=constants, draw=draw, stream=stream)

    @property
    def line(self) -> Line:
        """Law of the elements, with the error of a float32 exponent, which is theirs relative.

        The share of b is for the largest values, of which the mean and the rms of a wide draw say
        little.
        """
        a, b = self.a, self.b
        width = math.log(b / a)
        largest = max(abs(math.log(a)), abs(math.log(b)))
        error = _EXPONENT_ROUNDINGS * 2.0**-24 * (largest + width)
        mean, rms = (b - a) / width, math.sqrt((b - a) * (b + a) / (2 * width))
        variable = Exponential(UNIFORM, width / 2, -width / 2)  # of the values over b
        return Line(variable, b, 0.0, mean_error=error * mean, std_error=error * max(rms, b / 4))

    @property
    def reach(self) -> float:
        return self.b

    def fill(self, value: torch.Tensor) -> None:
        value.uniform_(math.log(self.a), math.log(self.b)).exp_()

    def sample(
        self, generator: np.random.RandomState, shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        return np.exp(generator.uniform(math.log(self.a), math.log(self.b), shape))
