"""Numba kernels of the stream, one thread each, in passes over a block that stays in L1.

A pass is one short loop without branches, which LLVM turns into vector code: Philox words into
scratch, the transform of the scratch in place, then the store of the wanted elements. Long
dependency chains are cut into passes so that enough independent iterations fit a core's reorder
buffer. Scratch is filled in whole vectors, so ragged starts and ends need no scalar loop.

Bits: IEEE binary32, one rounding per written operation; no `fastmath`, whose contraction and
reassociation would change them. Numba widens integers to 64 bits, hence the `uint32` around every
result that must wrap (free: LLVM narrows them again).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numpy import float32, float64, int32, uint32, uint64

from seedpoint.models.formulas import pointwise
from seedpoint.models.stream import constants
from seedpoint.models.stream.intrinsics import full_width, prefetch
from seedpoint.models.stream.jit import kernel
from seedpoint.models.stream.rounding import put

Lanes = npt.NDArray[uint64]
Words = npt.NDArray[uint32]
Floats = npt.NDArray[float32]
Indices = npt.NDArray[int32]
Values = npt.NDArray[Any]  # float32, or patterns of a narrow dtype (`rounding.ARRAYS`)
Key = tuple[int, int]
Real = TypeVar("Real", float32, float)

BLOCK = 512  # counters: 2048 words, 8 KiB of each scratch array
VECTOR = 8  # counters: whole 512-bit vectors in every pass
FLOATS = 16  # in a 512-bit vector
CACHE_LINE_BYTES = 64
COLUMNS = 128  # groups of elements, by index modulo COLUMNS, that share one search for tails

MASK, WORD_BITS = uint64(0xFFFFFFFF), uint64(32)
M0, M1 = map(uint64, constants.MULTIPLIERS)
W0, W1 = map(uint64, constants.WEYL)
MIDDLE_ROUNDS = constants.ROUNDS - 3

HALF, ONE, MINUS_TWO = float32(0.5), float32(1), float32(-2)
TO_24, TO_23 = float32(2.0**-24), float32(2.0**-23)
SQRT_HALF_BITS = int(constants.SQRT_HALF.view(uint32))
LN, LN2_HIGH, LN2_LOW = constants.LN, constants.LN2_HIGH, constants.LN2_LOW
SIN, COS, QUARTER_TURN = constants.SIN, constants.COS, constants.QUARTER_TURN
CENTRE, TAIL, P_LIMIT = constants.ERFINV_CENTRE, constants.ERFINV_TAIL, constants.P_LIMIT
EXP, INVERSE_LN2 = pointwise.EXP, pointwise.INVERSE_LN2
LN2_HIGH_64, LN2_LOW_64 = pointwise.LN2_HIGH, pointwise.LN2_LOW
WHOLE = 1.5 * 2.0**52  # added to a smaller number, it leaves none of its fraction
EXPONENT_BIAS = uint64(1023)
LOWEST, HIGHEST = -150.0, 130.0  # beyond, e^x is 0 or infinite in binary32
CENTRE_AT, TAIL_AT, TAIL_LOG = float32(2.5), float32(3), float32(-5)


# --- words -----------------------------------------------------------------------


@kernel
def philox(lanes: Lanes, first: int, counters: int, draw: int, key: Key) -> None:
    """Write two lanes, (word 0, word 1) and (word 2, word 3), for each counter from `first`.

    Counter i is (first + i, high word of first, draw, 0). The work of rounds 1 and 2 on words that
    do not depend on i is done outside the loop (LLVM does the same for the key's bumps). The upper
    half of a lane may hold garbage; `& MASK` is part of a 32 x 32 multiply.
    """
    full_width()
    k0, k1, c2 = uint64(key[0]), uint64(key[1]), uint64(draw)
    start = c2 * M1
    c0_1 = (start >> WORD_BITS) ^ (uint64(first) >> WORD_BITS) ^ k0
    c1_1 = start & MASK
    low_2 = c0_1 * M0
    low_1 = (uint64(first) & MASK) * M0
    for i in range(counters):
        a, b = (k0 + W0) & MASK, (k1 + W1) & MASK
        high = (((low_1 >> WORD_BITS) ^ k1) & MASK) * M1
        c0, c1 = (high >> WORD_BITS) ^ c1_1 ^ a, high
        c2, c3 = (low_2 >> WORD_BITS) ^ low_1 ^ b, low_2
        low_1 += M0
        for _ in range(MIDDLE_ROUNDS):
            a, b = (a + W0) & MASK, (b + W1) & MASK
            low, high = (c0 & MASK) * M0, (c2 & MASK) * M1
            c0, c1 = (high >> WORD_BITS) ^ c1 ^ a, high
            c2, c3 = (low >> WORD_BITS) ^ c3 ^ b, low
        a, b = (a + W0) & MASK, (b + W1) & MASK
        low, high = (c0 & MASK) * M0, (c2 & MASK) * M1
        # A lane's words are the product's high half, mixed, and its low half: a rotation.
        lanes[2 * i] = ((high >> WORD_BITS) | (high << WORD_BITS)) ^ (c1 & MASK) ^ a
        lanes[2 * i + 1] = ((low >> WORD_BITS) | (low << WORD_BITS)) ^ (c3 & MASK) ^ b


@kernel
def block(lanes: Lanes, start: int, wanted: int, draw: int, key: Key) -> tuple[int, int, int]:
    """Write the words of the block that starts at element `start`; return (skip, count, filled).

    Words [skip, skip + count) belong to elements [start, start + count); `filled` words were
    written. A block ends before the counter's high word changes.
    """
    first, skip = start // 4, start % 4
    counters = min(BLOCK, (skip + wanted + 3) // 4, 2**32 - (first & 0xFFFFFFFF))
    made = (counters + VECTOR - 1) // VECTOR * VECTOR
    philox(lanes, first, made, draw, key)
    return skip, min(4 * counters - skip, wanted), 4 * made


@kernel
def claim(out: Values, done: int) -> None:
    """Prefetch the output of the next block, so that memory works while words are computed."""
    line = CACHE_LINE_BYTES // out.itemsize
    for i in range(done, min(done + 4 * BLOCK, out.size), line):
        prefetch(out, i)


@kernel
def words(out: Words, key: Key, draw: int, start: int) -> None:
    lanes = np.empty(2 * BLOCK, uint64)
    scratch = lanes.view(uint32)
    done = 0
    while done < out.size:
        claim(out, done)
        skip, count, _ = block(lanes, start + done, out.size - done, draw, key)
        out[done : done + count] = scratch[skip : skip + count]
        done += count


# --- scalars ---------------------------------------------------------------------


@kernel
def bits(x: float32) -> uint32:
    return float32(x).view(uint32)


@kernel
def real(b: int | uint32) -> float32:
    return uint32(b).view(float32)


@kernel
def horner(x: Real, coefficients: tuple[Real, ...]) -> Real:
    """Return a polynomial in x, of binary32 or binary64 like its coefficients."""
    y = coefficients[0]
    for coefficient in coefficients[1:]:
        y = y * x + coefficient
    return y


@kernel
def ln(x: float32, scale: int) -> float32:
    """Return the logarithm of x / 2^scale, with the mantissa m from [sqrt(1/2), sqrt(2))."""
    offset = uint32(bits(x) - (SQRT_HALF_BITS + (scale << 23)))
    e = float32(int32(int32(offset) >> 23))
    m = real((offset & 0x7FFFFF) + SQRT_HALF_BITS) - ONE
    z = m * m
    y = horner(m, LN) * m * z
    y = y + LN2_LOW * e
    y = y - HALF * z
    return m + y + LN2_HIGH * e


# --- uniform ---------------------------------------------------------------------


@kernel
def put_uniform(out: Values, scratch: Words, f32: tuple[float, ...]) -> None:
    full_width()
    width, low = float32(f32[0]), float32(f32[1])
    for i in range(out.size):
        u = float32(int32(uint32(scratch[i] >> 8))) * TO_24
        put(out, i, u * width + low)


@kernel
def uniform(out: Values, key: Key, draw: int, start: int, f32: tuple[float, ...]) -> None:
    lanes = np.empty(2 * BLOCK, uint64)
    scratch = lanes.view(uint32)
    done = 0
    while done < out.size:
        claim(out, done)
        skip, count, _ = block(lanes, start + done, out.size - done, draw, key)
        put_uniform(out[done : done + count], scratch[skip:], f32)
        done += count


# --- normal ----------------------------------------------------------------------


@kernel
def box_muller(scratch: Words, filled: int) -> None:
    """Replace pairs of words with pairs of standard normal values, as bits, in place."""
    full_width()
    for i in range(filled // 2):
        a, b = scratch[2 * i], scratch[2 * i + 1]
        v = float32(int32(uint32(a >> 1))) + HALF  # u = v / 2^31
        radius = np.sqrt(MINUS_TWO * ln(v, 31))
        t = float32(int32(uint32(b << 2))) * QUARTER_TURN
        z = t * t
        sin = horner(z, SIN) * z * t + t
        cos = horner(z, COS) * z * z - HALF * z + ONE
        # Bits 31 and 30 of `quarters` are q: sin is negative for 2 and 3, cos for 1 and 2.
        quarters = uint32(b + 0x20000000)
        odd = (quarters & 0x40000000) != 0
        s, c = cos if odd else sin, sin if odd else cos
        s = real(bits(s) ^ (quarters & 0x80000000))
        c = real(bits(c) ^ (uint32(quarters + 0x40000000) & 0x80000000))
        scratch[2 * i] = bits(radius * c)
        scratch[2 * i + 1] = bits(radius * s)


@kernel
def put_normal(out: Values, scratch: Words, f32: tuple[float, ...]) -> None:
    full_width()
    std, mean = float32(f32[0]), float32(f32[1])
    for i in range(out.size):
        put(out, i, real(scratch[i]) * std + mean)


@kernel
def normal(out: Values, key: Key, draw: int, start: int, f32: tuple[float, ...]) -> None:
    lanes = np.empty(2 * BLOCK, uint64)
    scratch = lanes.view(uint32)
    done = 0
    while done < out.size:
        claim(out, done)
        skip, count, filled = block(lanes, start + done, out.size - done, draw, key)
        box_muller(scratch, filled)
        put_normal(out[done : done + count], scratch[skip:], f32)
        done += count


# --- trunc_normal ----------------------------------------------------------------


@kernel
def probabilities(p: Floats, logs: Floats, scratch: Words, f32: tuple[float, ...]) -> None:
    """Compute `p` from the words, and (1 - p)(1 + p) into `logs`."""
    full_width()
    lo, width = float32(f32[0]), float32(f32[1])
    for i in range(p.size):
        u = (float32(int32(uint32(scratch[i] >> 9))) + HALF) * TO_23
        x = min(P_LIMIT, max(-P_LIMIT, u * width + lo))
        p[i] = x
        logs[i] = (ONE - x) * (ONE + x)


@kernel
def logarithms(logs: Floats) -> None:
    full_width()
    for i in range(logs.size):
        logs[i] = ln(logs[i], 0)


@kernel
def centres(x: Floats, lowest: Floats, p: Floats, logs: Floats) -> None:
    """Compute erfinv(p) as if w = -log < 5 everywhere, and the `lowest` log per column group."""
    full_width()
    lowest[:] = float32(0)
    for row in range(x.size // COLUMNS):
        for column in range(COLUMNS):
            i = row * COLUMNS + column
            x[i] = horner(-logs[i] - CENTRE_AT, CENTRE) * p[i]
            lowest[column] = min(lowest[column], logs[i])


@kernel
def find_tails(found: Indices, lowest: Floats, logs: Floats) -> int:
    """Find the elements with w >= 5, without branches, and return their number.

    One element in 290 of a whole normal is in a tail. The columns that contain any are listed after
    the elements, in the last places of `found`.
    """
    listed = found[4 * BLOCK + 1 :]
    columns = 0
    for column in range(COLUMNS):
        listed[columns] = column
        columns += lowest[column] <= TAIL_LOG
    count = 0
    for k in range(columns):
        for i in range(listed[k], logs.size, COLUMNS):
            found[count] = i
            count += logs[i] <= TAIL_LOG
    return count


@kernel
def tails(dense: Floats) -> None:
    """Replace logs with erfinv(p) / p for w >= 5, in place."""
    full_width()
    for i in range(dense.size):
        dense[i] = horner(np.sqrt(-dense[i]) - TAIL_AT, TAIL)


@kernel
def erfinv(x: Floats, scratch: Floats, found: Indices, p: Floats, logs: Floats) -> None:
    """Compute `x` from `p`: the centre polynomial everywhere, then the packed tails again."""
    centres(x, scratch[:COLUMNS], p, logs)
    count = find_tails(found, scratch[:COLUMNS], logs)
    for k in range(count):
        scratch[k] = logs[found[k]]
    tails(scratch[: (count + FLOATS - 1) // FLOATS * FLOATS])
    for k in range(count):
        x[found[k]] = scratch[k] * p[found[k]]


@kernel
def put_trunc_normal(out: Values, x: Floats, f32: tuple[float, ...]) -> None:
    full_width()
    scale, mean, a, b = float32(f32[2]), float32(f32[3]), float32(f32[4]), float32(f32[5])
    for i in range(out.size):
        put(out, i, min(b, max(a, x[i] * scale + mean)))


@kernel
def trunc_normal(out: Values, key: Key, draw: int, start: int, f32: tuple[float, ...]) -> None:
    lanes = np.empty(2 * BLOCK, uint64)
    scratch, found = np.empty(4 * BLOCK, float32), np.empty(4 * BLOCK + 1 + COLUMNS, int32)
    p, logs = np.empty(4 * BLOCK, float32), np.empty(4 * BLOCK, float32)
    done = 0
    while done < out.size:
        claim(out, done)
        skip, count, filled = block(lanes, start + done, out.size - done, draw, key)
        size = (filled + COLUMNS - 1) // COLUMNS * COLUMNS
        x = lanes.view(float32)[:size]  # reuses the memory of the words
        probabilities(p[:size], logs, lanes.view(uint32), f32)
        logarithms(logs[:size])
        erfinv(x, scratch, found, p, logs[:size])
        put_trunc_normal(out[done : done + count], x[skip:], f32)
        done += count


# --- log_uniform -----------------------------------------------------------------


@kernel
def exp(x: float) -> float:
    """Return e^x in binary64, as `pointwise.exp` does, of an x within `LOWEST` and `HIGHEST`."""
    rounded = x * INVERSE_LN2 + WHOLE  # its low bits are the nearest whole number n, ties to even
    n = rounded - WHOLE
    r = (x - n * LN2_HIGH_64) - n * LN2_LOW_64
    power = uint64((float64(rounded).view(uint64) + EXPONENT_BIAS) << uint64(52))
    return horner(r, EXP) * power.view(float64)


@kernel
def put_log_uniform(out: Values, scratch: Words, f32: tuple[float, ...]) -> None:
    full_width()
    width, low, a, b = float32(f32[0]), float32(f32[1]), float32(f32[2]), float32(f32[3])
    for i in range(out.size):
        u = float32(int32(uint32(scratch[i] >> 8))) * TO_24
        x = min(HIGHEST, max(LOWEST, float64(u * width + low)))
        put(out, i, min(b, max(a, float32(exp(x)))))


@kernel
def log_uniform(out: Values, key: Key, draw: int, start: int, f32: tuple[float, ...]) -> None:
    lanes = np.empty(2 * BLOCK, uint64)
    scratch = lanes.view(uint32)
    done = 0
    while done < out.size:
        claim(out, done)
        skip, count, _ = block(lanes, start + done, out.size - done, draw, key)
        put_log_uniform(out[done : done + count], scratch[skip:], f32)
        done += count


DRAWS: dict[str, Any] = {
    "uniform": uniform,
    "normal": normal,
    "trunc_normal": trunc_normal,
    "log_uniform": log_uniform,
}
"""Kernels by the draw's name; each fills `out` from its key, draw, start and constants."""
