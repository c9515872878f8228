"""Readable form of the stream: plain torch operations, with the same bits on CPU and CUDA.

Unsigned 32-bit words live in int64 tensors. Floating point is float32 with one rounding per
operation, which eager torch keeps: nothing is fused or reassociated. Functions that torch does not
round correctly (`sqrt` on CPU) or leaves to a platform's libm (`log`, `sin`, `erfinv`) are not
called. Python scalars are binary32 values, so widening them changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsFloat

import torch
from torch import Tensor

from seedpoint.models.formulas import pointwise
from seedpoint.models.stream import constants
from seedpoint.models.stream.formats import EXPONENT, EXPONENT_NAN, FORMATS, INFINITY, Format

Key = tuple[int, int]
Device = torch.device | str

MASK = 2**32 - 1


def philox(counter: Sequence[Tensor], key: Key) -> tuple[Tensor, ...]:
    """Return four words of Philox4x32-10 (Salmon et al., SC'11) for each counter of four words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(constants.ROUNDS):
        high0, low0 = _product(c0, constants.MULTIPLIERS[0])
        high1, low1 = _product(c2, constants.MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + constants.WEYL[0]) & MASK, (k1 + constants.WEYL[1]) & MASK
    return c0, c1, c2, c3


def _product(x: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """Return the high and low words of u32 * u32, by 16-bit halves: int64 would overflow."""
    low = x * (multiplier & 0xFFFF)
    high = x * (multiplier >> 16) + (low >> 16)
    return high >> 16, (high & 0xFFFF) << 16 | low & 0xFFFF


def words(key: Key, draw: int, start: int, stop: int, *, device: Device = "cpu") -> Tensor:
    """Return word(i) for i in [start, stop): int64 values in [0, 2^32)."""
    index = torch.arange(start // 4, (stop + 3) // 4, device=device)
    zero = torch.zeros_like(index)
    lanes = philox((index & MASK, index >> 32, zero + draw, zero), key)
    return torch.stack(lanes, dim=-1).flatten()[start % 4 :][: stop - start]


def uniform(
    key: Key, draw: int, start: int, stop: int, f32: Sequence[float], *, device: Device = "cpu"
) -> Tensor:
    """Return elements [start, stop) of a uniform draw; `f32` is (high - low, low)."""
    width, low = f32
    u = (words(key, draw, start, stop, device=device) >> 8).to(torch.float32) * 2.0**-24
    return u * width + low


def normal(
    key: Key, draw: int, start: int, stop: int, f32: Sequence[float], *, device: Device = "cpu"
) -> Tensor:
    """Return elements [start, stop) of a normal draw, by Box-Muller; `f32` is (std, mean)."""
    std, mean = f32
    first = start - start % 2
    a, b = words(key, draw, first, stop + stop % 2, device=device).view(-1, 2).unbind(-1)
    u = ((a >> 1).to(torch.float32) + 0.5) * 2.0**-31
    radius = _sqrt(ln(u) * -2.0)
    cos, sin = turn(b)
    z = torch.stack((radius * cos, radius * sin), dim=-1).flatten()
    return z[start - first :][: stop - start] * std + mean


def trunc_normal(
    key: Key, draw: int, start: int, stop: int, f32: Sequence[float], *, device: Device = "cpu"
) -> Tensor:
    """Return elements [start, stop) of a truncated normal draw, by the inverse CDF.

    `f32` is (lo, hi - lo, sqrt(2) * std, mean, a, b).
    """
    lo, width, scale, mean, a, b = f32
    word = words(key, draw, start, stop, device=device)
    u = ((word >> 9).to(torch.float32) + 0.5) * 2.0**-23
    p = _clamp(u * width + lo, -float(constants.P_LIMIT), float(constants.P_LIMIT))
    return _clamp(erfinv(p) * scale + mean, a, b)


def log_uniform(
    key: Key, draw: int, start: int, stop: int, f32: Sequence[float], *, device: Device = "cpu"
) -> Tensor:
    """Return elements [start, stop) of a log-uniform draw, by `exp` of a uniform one.

    `f32` is (ln b - ln a, ln a, a, b).
    """
    width, low, a, b = f32
    exponents = uniform(key, draw, start, stop, (width, low), device=device)
    return _clamp(pointwise.exp(exponents), a, b)


DRAWS = {
    "uniform": uniform,
    "normal": normal,
    "trunc_normal": trunc_normal,
    "log_uniform": log_uniform,
}
"""Reference implementations by the draw's name."""


def convert(x: Tensor, dtype: str) -> Tensor:
    """Return the bit patterns (uint8 or uint16) of float32 values in a narrow dtype.

    The conversion uses integers only. `dtype` is PyTorch's name. Of patterns of four bits, two are
    in a byte, the first in its lower half.

    Raises:
        KeyError: `dtype` is not narrower than float32.
    """
    b = x.contiguous().view(torch.int32).to(torch.int64) & MASK
    magnitude = b & MASK >> 1
    if dtype == EXPONENT:
        code = magnitude + 0x3FFFFF + (magnitude >= 1 << 23).to(torch.int64) >> 23
        code = torch.where(magnitude > INFINITY, EXPONENT_NAN, code.clamp(max=EXPONENT_NAN))
        return code.to(torch.uint8)
    numbers = FORMATS[dtype]
    code = _rounded(magnitude, numbers).clamp(max=numbers.overflow)
    sign = b >> 31 << numbers.bits - 1
    if not numbers.negative_zero:
        sign = torch.where(code == 0, 0, sign)
    code = torch.where(magnitude > INFINITY, numbers.nan, code | sign)
    if numbers.bits == 4:
        return (code[0::2] | code[1::2] << 4).to(torch.uint8)
    return code.to(torch.uint8 if numbers.bits == 8 else torch.uint16)


def _rounded(magnitude: Tensor, numbers: Format) -> Tensor:
    """Return the patterns of magnitudes as if the format's exponents were unbounded."""
    exponent = (magnitude >> 23).clamp(min=1)
    significand = magnitude - (exponent - 1 << 23)
    smallest = 1 - numbers.bias + 127
    # A significand has 24 bits: shifted by 25 or more it is below half, and rounds to zero.
    shift = (numbers.shift + (smallest - exponent).clamp(min=0)).clamp(max=25)
    odd = significand >> shift & 1
    kept = significand + (torch.ones_like(shift) << shift - 1) - 1 + odd >> shift
    return ((exponent - smallest).clamp(min=0) << numbers.mantissa_bits) + kept


def ln(x: Tensor) -> Tensor:
    """Return the natural logarithm of positive normal float32 values (Cephes `logf`)."""
    m, e = torch.frexp(x)
    below = m < float(constants.SQRT_HALF)
    e = (e - below.to(e.dtype)).to(torch.float32)
    m = torch.where(below, m + m - 1.0, m - 1.0)
    z = m * m
    y = _horner(m, constants.LN) * m * z
    y = y + e * float(constants.LN2_LOW)
    y = y - z * 0.5
    return m + y + e * float(constants.LN2_HIGH)


def turn(b: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, float32, of the words `b` as fractions b / 2^32 of a full turn.

    The nearest quarter turn is removed, so that the polynomials (Cephes `cosf`, `sinf`) get [-pi/4,
    pi/4], and is restored by swaps and sign changes.
    """
    quarters = ((b + 2**29) & MASK) >> 30
    rest = b << 2 & MASK
    signed = torch.where(rest < 2**31, rest, rest - 2**32)
    t = signed.to(torch.float32) * float(constants.QUARTER_TURN)
    z = t * t
    sin = _horner(z, constants.SIN) * z * t + t
    cos = _horner(z, constants.COS) * z * z - z * 0.5 + 1.0
    odd = quarters % 2 == 1
    s, c = torch.where(odd, cos, sin), torch.where(odd, sin, cos)
    s = torch.where(quarters >= 2, -s, s)
    c = torch.where((quarters == 1) | (quarters == 2), -c, c)
    return c, s


def erfinv(p: Tensor) -> Tensor:
    """Return the inverse error function of float32 values in (-1, 1) (Giles, single precision)."""
    w = -ln((1.0 - p) * (1.0 + p))
    centre = _horner(w - 2.5, constants.ERFINV_CENTRE)
    tail = _horner(_sqrt(w) - 3.0, constants.ERFINV_TAIL)
    return torch.where(w < 5.0, centre, tail) * p


def _horner(x: Tensor, coefficients: Sequence[SupportsFloat]) -> Tensor:
    y = torch.full_like(x, float(coefficients[0]))
    for coefficient in coefficients[1:]:
        y = y * x + float(coefficient)
    return y


def _sqrt(x: Tensor) -> Tensor:
    """Return the correctly rounded root: binary64 has more than twice binary32's bits, plus two."""
    return x.to(torch.float64).sqrt().to(torch.float32)


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp by selection, not by `torch.clamp`, so that the bound wins a tie of zeros."""
    low_, high_ = torch.full_like(x, low), torch.full_like(x, high)
    x = torch.where(x > low_, x, low_)
    return torch.where(x < high_, x, high_)
