"""Exact functions: exp, log, sqrt, softplus, sine and others, from binary64 operations only.

Each function takes float32 (or float64) values, computes in binary64 with one rounding for each
written operation and no platform's libm, and rounds once to the input type. Plain torch operations
neither fuse nor reassociate: the bits are the same on every CPU and on CUDA. Results are within
2^-45 of the true value, so in float32 they are the nearest number, near-ties excepted; those of
`sin` and `cos` for arguments up to 2^20 in magnitude, and near a zero by absolute error.

Normative beside STREAM: a changed digit changes issued checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# ln(2) as a sum whose first term has 32 bits, so that its product with an exponent is exact.
LN2_HIGH = float.fromhex("0x1.62e42feep-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")

# Taylor's series, highest power first: 1/13!, ..., 1/1!, 1 and 1/17!, ..., 1/2!, 1.
EXP = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))
EXPM1 = tuple(1.0 / math.factorial(k) for k in range(17, 0, -1))
# ln(m) = 2 s (1 + s^2/3 + s^4/5 + ...), where s = (m - 1) / (m + 1).
LOG = tuple(1.0 / (2 * k + 1) for k in range(12, -1, -1))
# ln(1 + t) = 2 s (1 + s^2/3 + ...), where s = t / (2 + t), for t up to 1.
LOG1P = tuple(1.0 / (2 * k + 1) for k in range(17, -1, -1))
# pi/2 as a sum whose first two terms have 33 bits, so that their products with n are exact.
HALF_PI = tuple(
    map(float.fromhex, ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69"))
)
TWO_OVER_PI = float.fromhex("0x1.45f306dc9c883p-1")
# Taylor's series in z = r^2, highest power first: of sin(r) / r to r^16, and of cos(r) to r^16.
SIN = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(8, -1, -1))
COS = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(8, -1, -1))

LOWEST, HIGHEST = -746.0, 710.0
"""Bounds outside which e^x is 0 or infinite in binary64 too."""


def exp(x: Tensor) -> Tensor:
    """Return e^x in the dtype of `x`; NaN for NaN."""
    return _exp(x.to(torch.float64)).to(x.dtype)


def expm1(x: Tensor) -> Tensor:
    """Return e^x - 1 in the dtype of `x`, with full precision near zero; keeps the sign of zero."""
    wide = x.to(torch.float64)
    small = _horner(torch.where(wide.abs() < 0.5, wide, torch.zeros_like(wide)), EXPM1) * wide
    return torch.where(wide.abs() < 0.5, small, _exp(wide) - 1.0).to(x.dtype)


def log(x: Tensor) -> Tensor:
    """Return ln(x) in the dtype of `x`: -infinity for zero, NaN below zero."""
    wide = x.to(torch.float64)
    m, e = torch.frexp(wide)
    below = m < SQRT_HALF
    m = torch.where(below, m + m, m)
    e = (e - below.to(e.dtype)).to(torch.float64)
    s = (m - 1.0) / (m + 1.0)
    y = _horner(s * s, LOG) * s
    y = e * LN2_HIGH + (e * LN2_LOW + (y + y))
    y = torch.where(wide == 0, torch.full_like(y, -math.inf), y)
    y = torch.where(wide < 0, torch.full_like(y, math.nan), y)
    unbounded = torch.isinf(wide) & (wide > 0)
    return torch.where(unbounded | torch.isnan(wide), wide, y).to(x.dtype)


def sqrt(x: Tensor) -> Tensor:
    """Return the square root in the dtype of `x`: the nearest binary64 number, rounded once."""
    wide = x.to(torch.float64)
    if wide.device.type != "cpu":
        return torch.sqrt(wide).to(x.dtype)
    with np.errstate(invalid="ignore"):  # torch's own is not the nearest number on every CPU
        return torch.from_numpy(np.sqrt(wide.numpy())).to(x.dtype)


def softplus(x: Tensor) -> Tensor:
    """Return ln(1 + e^x) in the dtype of `x`, with full precision for any argument."""
    wide = x.to(torch.float64)
    t = _exp(-wide.abs())
    s = t / (t + 2.0)
    y = _horner(s * s, LOG1P) * s
    return (torch.where(wide > 0, wide, torch.zeros_like(wide)) + (y + y)).to(x.dtype)


def sin(x: Tensor) -> Tensor:
    """Return the sine of `x`, in radians, in its dtype."""
    return _turned(x, 0)


def cos(x: Tensor) -> Tensor:
    """Return the cosine of `x`, in radians, in its dtype."""
    return _turned(x, 1)


def _turned(x: Tensor, quarters: int) -> Tensor:
    """Return the sine of `x` plus so many quarter turns."""
    wide = x.to(torch.float64)
    n = torch.round(wide * TWO_OVER_PI)
    r = ((wide - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2]
    z = r * r
    sine, cosine = _horner(z, SIN) * r, _horner(z, COS)
    n = n + quarters
    quadrant = n - torch.floor(n * 0.25) * 4.0
    y = torch.where((quadrant == 1) | (quadrant == 3), cosine, sine)
    return torch.where(quadrant >= 2, -y, y).to(x.dtype)


def _exp(wide: Tensor) -> Tensor:
    x = torch.where(wide > LOWEST, wide, torch.full_like(wide, LOWEST))
    x = torch.where(x < HIGHEST, x, torch.full_like(x, HIGHEST))
    n = torch.round(x * INVERSE_LN2)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    # Two powers of two, because 2^1024 and 2^-1076 are not binary64 numbers; both products are
    # exact where the result is normal.
    half = torch.floor(n * 0.5)
    y = _horner(r, EXP) * _power_of_two(half) * _power_of_two(n - half)
    return torch.where(torch.isnan(wide), wide, y)


def _power_of_two(n: Tensor) -> Tensor:
    """Return 2^n, exact, for whole n from -1022 to 1023."""
    return ((n.to(torch.int64) + 1023) << 52).view(torch.float64)


def _horner(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    y = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = y * x + coefficient
    return y
