"""Truncated normal draw."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from typing_extensions import Self

from seedpoint.models.draws.draw import Draw
from seedpoint.models.draws.standard import NORMAL, Line
from seedpoint.models.dtypes import f32

_PROBABILITY_ERROR = 2.0**-23  # of a float32 probability (STREAM: lo, hi, p)
_ERFINV_LIMIT = 5.42  # sqrt(2) * erfinv(1 - 2^-24), where the stream's values end

_P_LIMIT = 1 - 2.0**-24  # largest float32 below 1 (STREAM: p)


@dataclass(frozen=True, slots=True)
class TruncNormal(Draw):
    """Draw `trunc_normal(mean, std, a, b)` of the stream, with absolute bounds a and b.

    `f32` is (f32(lo), f32(hi - lo), f32(sqrt(2) * std), f32(mean), f32(a), f32(b)).
    """

    mean: float
    std: float
    a: float
    b: float

    type: ClassVar[str] = "trunc_normal"
    constants: ClassVar[int] = 6
    recorded: ClassVar[Mapping[str, slice]] = {"_no_grad_trunc_normal_": slice(1, 5)}
    in_numpy: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        mean: float,
        std: float,
        a: float,
        b: float,
        *,
        draw: int = 0,
        stream: str | None = None,
    ) -> Self:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: std <= 0, a >= b, an argument is beyond float32, or both bounds lie more
                than 4 std from the mean on one side.
        """
        mean, std, a, b = float(mean), float(std), float(a), float(b)
        if not all(map(math.isfinite, (f32(mean), f32(std), f32(a), f32(b)))):
            raise ValueError("trunc_normal needs finite float32 arguments")
        if std <= 0:
            raise ValueError(f"trunc_normal needs std > 0, not {std}")
        if a >= b:
            raise ValueError(f"trunc_normal needs a < b, not {a} >= {b}")
        alpha, beta = (a - mean) / std, (b - mean) / std
        if alpha > 4 or beta < -4:
            raise ValueError(
                f"trunc_normal bounds [{a}, {b}] lie wholly beyond 4 std on one side of "
                f"the mean {mean}: too few float32 probabilities there"
            )
        lo, hi = math.erf(alpha / math.sqrt(2)), math.erf(beta / math.sqrt(2))
        lo, hi = 2 * ((1 + lo) / 2) - 1, 2 * ((1 + hi) / 2) - 1
        constants = (f32(lo), f32(hi - lo), f32(math.sqrt(2) * std), f32(mean), f32(a), f32(b))
        return cls(mean, std, a, b, f32=constants, draw=draw, stream=stream)

    @property
    def line(self) -> Line:
        """Law of the elements, with the error of a float32 probability, coarse far in a tail.

        A shift e of p moves x by e dx/dp; its mean over p is e times the range of x over the range
        of p, and so for the square around the mean.
        """
        start, stop = ((bound - self.mean) / self.std for bound in (self.a, self.b))
        exact = Line(NORMAL, self.std, self.mean, start, stop)
        start, stop = max(start, -_ERFINV_LIMIT), min(stop, _ERFINV_LIMIT)
        share = 2 * NORMAL.between(start, stop)
        error = _PROBABILITY_ERROR * (stop - start) / share
        spread = (stop - start) / (2 * exact.std / self.std)
        return replace(exact, mean_error=error * self.std, std_error=error * self.std * spread)

    @property
    def reach(self) -> float:
        return max(abs(self.a), abs(self.b))

    @property
    def distinct_values(self) -> int:
        """Most different values that it has: one for each float32 probability, at most 2^23."""
        low, width = self.f32[:2]
        return min(1 + _ordered(min(low + width, _P_LIMIT)) - _ordered(max(low, -_P_LIMIT)), 2**23)

    def fill(self, value: torch.Tensor) -> None:
        torch.nn.init.trunc_normal_(value, self.mean, self.std, self.a, self.b)


def _ordered(value: float) -> int:
    """Return the position of `value`, rounded to float32, among all float32 numbers."""
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    return int(bits) if bits >= 0 else -(int(bits) & 0x7FFFFFFF)
