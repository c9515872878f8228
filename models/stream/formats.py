"""The floating types narrower than binary32, as numbers that a conversion needs.

Normative beside STREAM: a changed number changes issued checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_MANTISSA_BITS, SINGLE_BIAS = 23, 127
INFINITY = 0x7F80_0000
"""The bits of binary32's infinity; those of a NaN without its sign are greater."""


@dataclass(frozen=True, slots=True)
class Format:
    """One type of 8 or 16 bits with a sign; `overflow` and `nan` are its bit patterns.

    `overflow`, with the sign of the value, is what magnitudes become that round past the largest
    finite one, and infinities. A format without `negative_zero` uses that pattern as its one NaN.
    """

    bits: int
    mantissa_bits: int
    bias: int
    overflow: int
    nan: int
    negative_zero: bool = True

    @property
    def shift(self) -> int:
        """How many bits of a binary32 mantissa are rounded away."""
        return SINGLE_MANTISSA_BITS - self.mantissa_bits

    @property
    def smallest_normal(self) -> int:
        """The bits in binary32 of the smallest number that is rounded as normal ones are.

        Zero where the exponents are binary32's, whose subnormals are rounded like the others.
        """
        exponent = 1 - self.bias + SINGLE_BIAS
        return exponent << SINGLE_MANTISSA_BITS if exponent > 1 else 0

    @property
    def rebias(self) -> int:
        """What a rounded binary32 pattern exceeds this format's pattern by."""
        return (SINGLE_BIAS - self.bias) << self.mantissa_bits

    @property
    def unit(self) -> int:
        """The bits in binary32 of 2^23 times the smallest subnormal number.

        Added to a subnormal magnitude, it leaves the multiple of that number nearest to it, ties
        to even, in the low bits of the sum.
        """
        exponent = SINGLE_MANTISSA_BITS + 1 - self.bias - self.mantissa_bits
        return (exponent + SINGLE_BIAS) << SINGLE_MANTISSA_BITS


FORMATS = {
    "bfloat16": Format(16, 7, 127, overflow=0x7F80, nan=0x7FC0),
    "float16": Format(16, 10, 15, overflow=0x7C00, nan=0x7E00),
    "float8_e5m2": Format(8, 2, 15, overflow=0x7C, nan=0x7F),
    # Without infinities: magnitudes past the largest, 448, become it.
    "float8_e4m3fn": Format(8, 3, 7, overflow=0x7E, nan=0x7F),
    # Without infinities and negative zero: past the largest is NaN, as in PyTorch.
    "float8_e5m2fnuz": Format(8, 2, 16, overflow=0x80, nan=0x80, negative_zero=False),
    "float8_e4m3fnuz": Format(8, 3, 8, overflow=0x80, nan=0x80, negative_zero=False),
}
"""By PyTorch's names of the dtypes."""

EXPONENT = "float8_e8m0fnu"
"""The type that holds a power of two alone, without sign: the exponent's eight bits of binary32."""
EXPONENT_NAN = 0xFF
