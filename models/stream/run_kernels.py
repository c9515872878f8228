"""Numba kernels that fill many short runs of one draw in one call: the rows of a window.

A block holds the words of several runs, each from its first counter on, so that every pass is as
long as for one long run. The bits are those of `kernels`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy import float32, int32, int64, uint32, uint64

from seedpoint.models.stream import kernels
from seedpoint.models.stream.intrinsics import full_width
from seedpoint.models.stream.jit import kernel
from seedpoint.models.stream.kernels import (
    BLOCK,
    COLUMNS,
    M0,
    M1,
    MASK,
    MIDDLE_ROUNDS,
    VECTOR,
    W0,
    W1,
    WORD_BITS,
    Key,
    Lanes,
    Values,
    box_muller,
    erfinv,
    logarithms,
    probabilities,
    put_log_uniform,
    put_normal,
    put_trunc_normal,
    put_uniform,
)

Starts = npt.NDArray[int64]
Constants = tuple[float, ...]  # CONSTANTS of them, so that one kernel serves every draw

CONSTANTS = 6
KINDS = {"uniform": 0, "normal": 1, "trunc_normal": 2, "log_uniform": 3}
UNIFORM, NORMAL, TRUNC_NORMAL, LOG_UNIFORM = KINDS.values()

LONG = 4 * BLOCK - 3  # elements of a run, of which a block has less where it begins in a counter


@kernel
def philox_at(lanes: Lanes, counters: Lanes, draw: int, key: Key) -> None:
    """Write two lanes for each counter, as `kernels.philox` does for consecutive ones."""
    full_width()
    k0, k1, c2 = uint64(key[0]), uint64(key[1]), uint64(draw)
    start = c2 * M1
    c1_1 = start & MASK
    for i in range(counters.size):
        a, b = (k0 + W0) & MASK, (k1 + W1) & MASK
        c0_1 = (start >> WORD_BITS) ^ (counters[i] >> WORD_BITS) ^ k0
        low_2 = c0_1 * M0
        low_1 = (counters[i] & MASK) * M0
        high = (((low_1 >> WORD_BITS) ^ k1) & MASK) * M1
        c0, c1 = (high >> WORD_BITS) ^ c1_1 ^ a, high
        c2, c3 = (low_2 >> WORD_BITS) ^ low_1 ^ b, low_2
        for _ in range(MIDDLE_ROUNDS):
            a, b = (a + W0) & MASK, (b + W1) & MASK
            low, high = (c0 & MASK) * M0, (c2 & MASK) * M1
            c0, c1 = (high >> WORD_BITS) ^ c1 ^ a, high
            c2, c3 = (low >> WORD_BITS) ^ c3 ^ b, low
        a, b = (a + W0) & MASK, (b + W1) & MASK
        low, high = (c0 & MASK) * M0, (c2 & MASK) * M1
        lanes[2 * i] = ((high >> WORD_BITS) | (high << WORD_BITS)) ^ (c1 & MASK) ^ a
        lanes[2 * i + 1] = ((low >> WORD_BITS) | (low << WORD_BITS)) ^ (c3 & MASK) ^ b


@kernel
def count(counters: Lanes, first: int) -> None:
    full_width()
    for i in range(counters.size):
        counters[i] = uint64(first) + uint64(i)


@kernel
def block(
    lanes: Lanes, counters: Lanes, starts: Starts, first: int, run: int, draw: int, key: Key
) -> tuple[int, int]:
    """Write the words of the runs from number `first` on, as many as fit the block.

    Returns the number after the last of these runs, and the number of words written. The words of a
    run begin with its first counter, so up to three of them precede its elements.
    """
    used, number = 0, first
    while number < starts.size:
        counter, wanted = starts[number] // 4, (starts[number] % 4 + run + 3) // 4
        if used + wanted > BLOCK:
            break
        count(counters[used : used + wanted], counter)
        used += wanted
        number += 1
    made = (used + VECTOR - 1) // VECTOR * VECTOR
    philox_at(lanes, counters[:made], draw, key)
    return number, 4 * made


@kernel
def copy(out: Values, values: Values) -> None:
    full_width()
    for i in range(out.size):
        out[i] = values[i]


@kernel
def place(out: Values, values: Values, starts: Starts, first: int, number: int, run: int) -> None:
    """Copy the elements of the runs [first, number) of a block to their places in `out`."""
    at = 0
    for i in range(first, number):
        skip = starts[i] % 4
        copy(out[i * run : (i + 1) * run], values[at + skip :])
        at += (skip + run + 3) // 4 * 4


@kernel
def fill(
    kind: int, out: Values, key: Key, draw: int, starts: Starts, run: int, f32: Constants
) -> None:
    """Fill `out` with runs of `run` elements, from each of `starts` on, of the draw `kind` (KINDS).

    A block takes whole runs; one too long for that is filled by itself.
    """
    if run >= LONG:
        for i in range(starts.size):
            long_run(kind, out[i * run : (i + 1) * run], key, draw, starts[i], f32)
        return
    lanes, counters = np.empty(2 * BLOCK, uint64), np.empty(BLOCK, uint64)
    scratch, found = np.empty(4 * BLOCK, float32), np.empty(4 * BLOCK + 1 + COLUMNS, int32)
    p, logs = np.empty(4 * BLOCK, float32), np.empty(4 * BLOCK, float32)
    values = np.empty(4 * BLOCK, out.dtype)
    words, x = lanes.view(uint32), lanes.view(float32)  # x reuses the memory of the words
    number = 0
    while number < starts.size:
        first = number
        number, filled = block(lanes, counters, starts, first, run, draw, key)
        if kind == UNIFORM:
            put_uniform(values[:filled], words, f32[:2])
        elif kind == NORMAL:
            box_muller(words, filled)
            put_normal(values[:filled], words, f32[:2])
        elif kind == TRUNC_NORMAL:
            size = (filled + COLUMNS - 1) // COLUMNS * COLUMNS
            probabilities(p[:size], logs, words, f32)
            logarithms(logs[:size])
            erfinv(x[:size], scratch, found, p, logs[:size])
            put_trunc_normal(values[:filled], x, f32)
        elif kind == LOG_UNIFORM:
            put_log_uniform(values[:filled], words, f32[:4])
        place(out, values, starts, first, number, run)


@kernel
def long_run(kind: int, out: Values, key: Key, draw: int, start: int, f32: Constants) -> None:
    if kind == UNIFORM:
        kernels.uniform(out, key, draw, start, f32[:2])
    elif kind == NORMAL:
        kernels.normal(out, key, draw, start, f32[:2])
    elif kind == TRUNC_NORMAL:
        kernels.trunc_normal(out, key, draw, start, f32)
    elif kind == LOG_UNIFORM:
        kernels.log_uniform(out, key, draw, start, f32[:4])
