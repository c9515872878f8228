"""Numba kernels that convert float32 values to the narrower floating types, by bits.

Each value is rounded once to nearest, ties to even (STREAM). The conversion uses no instruction or
library function for it, so a change in a library cannot change a checkpoint.

Numba has no narrow floating types: an array's integer type identifies the dtype of its patterns.
Each loop is therefore compiled for one format, whose parameters are constants in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import from_dtype
from numba.extending import overload
from numpy import float32, uint32

from seedpoint.models.stream.float4 import FLOAT4
from seedpoint.models.stream.formats import EXPONENT, EXPONENT_NAN, FORMATS, INFINITY, Format
from seedpoint.models.stream.intrinsics import full_width
from seedpoint.models.stream.jit import kernel

Words = npt.NDArray[uint32]
Patterns = npt.NDArray[Any]  # of a type in ARRAYS, or uint8

ARRAYS: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype(np.uint16),
    "float16": np.dtype(np.int16),
    "float8_e4m3fn": np.dtype(np.uint8),
    "float8_e5m2": np.dtype(np.int8),
}
"""Array types that hold the patterns of a dtype, by PyTorch's dtype name."""

_DTYPES = {from_dtype(array): dtype for dtype, array in ARRAYS.items()}

SIGN, MAGNITUDE = uint32(0x8000_0000), uint32(0x7FFF_FFFF)
ZERO, ONE = uint32(0), uint32(1)
NAN_ABOVE = uint32(INFINITY)
EXPONENT_HALF, MAX_EXPONENT = uint32(0x3F_FFFF), uint32(EXPONENT_NAN)
SMALLEST_NORMAL = uint32(0x80_0000)


def bits(dtype: str) -> int:
    """Return the bits per element of `dtype`.

    Raises:
        KeyError: `dtype` is not narrower than float32.
    """
    return 8 if dtype == EXPONENT else FORMATS[dtype].bits


def convert(values: npt.NDArray[float32], out: npt.NDArray[Any], dtype: str) -> None:
    """Fill `out`, of the same bytes as `values` take in `dtype`, with their patterns in `dtype`.

    `dtype` is PyTorch's name. Of patterns of four bits, the first is in the lower half of a byte.

    Raises:
        KeyError: `dtype` is not narrower than float32.
    """
    if dtype in ARRAYS:
        narrow(out.view(ARRAYS[dtype]), values.view(uint32))
    elif dtype == EXPONENT:
        exponents(out.view(np.uint8), values.view(uint32))
    elif dtype == FLOAT4:
        narrow_pairs(out.view(np.uint8), values.view(uint32), _numbers(FORMATS[dtype]))
    else:
        narrow_by(out.view(np.uint8), values.view(uint32), _numbers(FORMATS[dtype]))


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache."""
    for dtype in (*FORMATS, EXPONENT):
        convert(np.empty(0, float32), np.empty(0, np.uint8), dtype)


def _numbers(numbers: Format) -> tuple[uint32, ...]:
    """Return the eight parameters of a format that `pattern` takes."""
    bias = (1 << (numbers.shift - 1)) - 1 - (numbers.rebias << numbers.shift)
    return tuple(
        uint32(number % 2**32)
        for number in (
            *(numbers.shift, bias, numbers.smallest_normal, numbers.unit, numbers.overflow),
            *(numbers.nan, 32 - numbers.bits, 0 if numbers.negative_zero else 1),
        )
    )


def numbers_of(out: Patterns) -> tuple[uint32, ...]:
    """Return the parameters of the format whose patterns `out` holds; for kernels only."""
    raise NotImplementedError


@overload(numbers_of)
def _numbers_of(out: Patterns) -> Callable[[Patterns], tuple[uint32, ...]]:
    """Return the implementation for the array type of `out`; Numba calls it at compile time."""
    numbers = _numbers(FORMATS[_DTYPES[out.dtype]]) if out.dtype in _DTYPES else (ZERO,) * 8

    def constant(out: Patterns) -> tuple[uint32, ...]:
        return numbers

    return constant


@kernel
def pattern(x: uint32, numbers: tuple[uint32, ...]) -> uint32:
    """Return the pattern of the binary32 value with the bits `x`, not NaN, in a format.

    Patterns of positive numbers have the order of the numbers, so a magnitude past the largest one
    is recognized by its pattern after rounding.
    """
    shift, bias, smallest, unit, overflow, _, place, least = numbers
    odd = uint32(uint32(x >> shift) & ONE)
    if not smallest:  # Binary32's exponents: the sign stays in place, and so does infinity.
        return uint32(uint32(x + bias + odd) >> shift)
    a = uint32(x & MAGNITUDE)
    normal = uint32(uint32(a + bias + odd) >> shift)
    # One binary32 addition rounds a subnormal, whose last place is that of the sum.
    total = float32(a.view(float32) + uint32(unit).view(float32))
    code = uint32(total.view(uint32) - unit) if a < smallest else normal
    code = overflow if code > overflow else code
    sign = uint32(uint32(x & SIGN) >> place)
    if least:
        sign = sign if code >= least else ZERO
    return uint32(code | sign)


@kernel
def put(out: Patterns, at: int, x: float32) -> None:
    """Store x, not NaN, in out[at]: as float32, or as a pattern of the dtype that `out` holds."""
    if out.itemsize == 4:
        out[at] = x
    else:
        out[at] = pattern(float32(x).view(uint32), numbers_of(out))


@kernel
def pattern_or_nan(x: uint32, numbers: tuple[uint32, ...]) -> uint32:
    """Return the pattern of any value, NaN included."""
    return numbers[5] if uint32(x & MAGNITUDE) > NAN_ABOVE else pattern(x, numbers)


@kernel
def narrow(out: Patterns, values: Words) -> None:
    """Write the patterns of values, given as bits, in the dtype that `out` holds."""
    full_width()
    for i in range(out.size):
        out[i] = pattern_or_nan(values[i], numbers_of(out))


@kernel
def narrow_by(out: Patterns, values: Words, numbers: tuple[uint32, ...]) -> None:
    """Write the patterns of values, given as bits, in the format with the given parameters."""
    full_width()
    for i in range(out.size):
        out[i] = pattern_or_nan(values[i], numbers)


@kernel
def narrow_pairs(out: Patterns, values: Words, numbers: tuple[uint32, ...]) -> None:
    """Write two patterns of four bits to each byte, the first to its lower half."""
    full_width()
    for i in range(out.size):
        low = pattern_or_nan(values[2 * i], numbers)
        high = pattern_or_nan(values[2 * i + 1], numbers)
        out[i] = uint32(low | uint32(high << 4))


@kernel
def exponents(out: Patterns, values: Words) -> None:
    """Write the exponents of the powers of two nearest to magnitudes; ties go up.

    Ties below the smallest normal number go down, like in PyTorch's conversion to float8_e8m0fnu.
    """
    full_width()
    for i in range(out.size):
        a = uint32(values[i] & MAGNITUDE)
        up = ONE if a >= SMALLEST_NORMAL else ZERO
        code = uint32(uint32(a + EXPONENT_HALF + up) >> 23)
        code = MAX_EXPONENT if code > MAX_EXPONENT else code
        out[i] = MAX_EXPONENT if a > NAN_ABOVE else code
