"""Parameters of the floating types narrower than binary32, for conversions.

The parameters are normative beside STREAM: a changed number changes issued checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_MANTISSA_BITS, SINGLE_BIAS = 23, 127
INFINITY = 0x7F80_0000
"""Bits of binary32's infinity; the bits of a NaN without its sign are greater."""


@dataclass(frozen=True, slots=True)
class Format:
    """Signed type of 4, 8 or 16 bits; `overflow` and `nan` are its bit patterns.

    `overflow`, with the sign of the value, represents infinities and magnitudes that round past the
    largest finite one. A format without `negative_zero` uses that pattern as its one NaN.
    """

    bits: int
    mantissa_bits: int
    bias: int
    overflow: int
    nan: int
    negative_zero: bool = True

    @property
    def shift(self) -> int:
        """Number of bits of a binary32 mantissa that rounding removes."""
        return SINGLE_MANTISSA_BITS - self.mantissa_bits

    @property
    def smallest_normal(self) -> int:
        """Bits in binary32 of the smallest number that is rounded like normal numbers.

        Zero if the format has binary32's exponents, whose subnormals are rounded like other
        numbers.
        """
        exponent = 1 - self.bias + SINGLE_BIAS
        return exponent << SINGLE_MANTISSA_BITS if exponent > 1 else 0

    @property
    def rebias(self) -> int:
        """Excess of a rounded binary32 pattern over this format's pattern."""
        return (SINGLE_BIAS - self.bias) << self.mantissa_bits

    @property
    def unit(self) -> int:
        """Bits in binary32 of 2^23 times the smallest subnormal number.

        Adding it to a subnormal magnitude leaves the nearest multiple of that number, ties to even,
        in the low bits of the sum.
        """
        exponent = SINGLE_MANTISSA_BITS + 1 - self.bias - self.mantissa_bits
        return (exponent + SINGLE_BIAS) << SINGLE_MANTISSA_BITS


FORMATS = {
    "bfloat16": Format(16, 7, 127, overflow=0x7F80, nan=0x7FC0),
    "float16": Format(16, 10, 15, overflow=0x7C00, nan=0x7E00),
    "float8_e5m2": Format(8, 2, 15, overflow=0x7C, nan=0x7F),
    # No infinities: larger magnitudes become 448, the largest finite one.
    "float8_e4m3fn": Format(8, 3, 7, overflow=0x7E, nan=0x7F),
    # No infinities and no NaN: NaN becomes the largest number, as by NVIDIA's conversion (PTX ISA,
    # `cvt` to .e2m1x2).
    "float4_e2m1fn_x2": Format(4, 1, 1, overflow=0x7, nan=0x7),
    # No infinities and no negative zero: larger magnitudes become NaN, as in PyTorch.
    "float8_e5m2fnuz": Format(8, 2, 16, overflow=0x80, nan=0x80, negative_zero=False),
    "float8_e4m3fnuz": Format(8, 3, 8, overflow=0x80, nan=0x80, negative_zero=False),
}
"""Formats by PyTorch's dtype names."""

EXPONENT = "float8_e8m0fnu"
"""Unsigned type of powers of two: the eight exponent bits of binary32."""
EXPONENT_NAN = 0xFF
