"""The power method of docs/stream.md in rational numbers, each operation rounded to binary64.

It shares no code with the implementation: no NumPy, no floating-point instruction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

Vector = list[Fraction]


def singular_vectors(
    matrix: Sequence[Sequence[float]], start: Sequence[float], iterations: int, eps: float
) -> tuple[Vector, Vector]:
    """Return the left and right vector, in binary64."""
    rows = [[Fraction(value) for value in row] for row in matrix]
    least = Fraction(eps)
    right, left = _normalized([Fraction(value) for value in start], least), list[Fraction]()
    for _ in range(iterations):
        left = _normalized([_dot(row, right) for row in rows], least)
        right = _normalized([_dot(column, left) for column in zip(*rows, strict=True)], least)
    return left, right


def single_bits(value: Fraction) -> str:
    """Return the bits, in hexadecimal, of a number rounded once to binary32 (no subnormals)."""
    if value == 0:
        return "00000000"
    exponent = math.floor(math.log2(abs(value)))
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    significand = _nearest(abs(value) / Fraction(2) ** (exponent - 23))
    if significand == 1 << 24:
        exponent, significand = exponent + 1, 1 << 23
    sign = 1 << 31 if value < 0 else 0
    return f"{sign | (exponent + 127) << 23 | significand - (1 << 23):08x}"


def _dot(first: Iterable[Fraction], second: Iterable[Fraction]) -> Fraction:
    total: Fraction | None = None
    for a, b in zip(first, second, strict=True):
        product = _double(a * b)
        total = product if total is None else _double(total + product)
    return Fraction(0) if total is None else total


def _normalized(vector: Vector, eps: Fraction) -> Vector:
    norm = max(_root(_dot(vector, vector)), eps)
    return [_double(value / norm) for value in vector]


def _double(value: Fraction) -> Fraction:
    """Round to 53 bits, ties to even; numbers here are far from the ends of binary64."""
    if value == 0:
        return value
    scale = Fraction(2) ** (abs(value.numerator).bit_length() - value.denominator.bit_length() - 53)
    while abs(value) >= scale * (1 << 53):
        scale *= 2
    while abs(value) < scale * (1 << 52):
        scale /= 2
    rounded = _nearest(abs(value) / scale) * scale
    return -rounded if value < 0 else rounded


def _root(value: Fraction) -> Fraction:
    """Return the root, rounded to nearest: it is never a tie of two numbers of 53 bits."""
    if value == 0:
        return value
    shift = 160 + 2 * value.denominator.bit_length()
    scaled = math.isqrt(value.numerator * (1 << 2 * shift) // value.denominator)
    return _double(Fraction(2 * scaled + 1, 1 << shift + 1))


def _nearest(value: Fraction) -> int:
    """Return the nearest whole number, ties to even."""
    return round(value)
