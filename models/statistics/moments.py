"""Kernels that summarize elements: counts, extremes and central moments to order 4.

A block's power sums run in `LANES` fixed lanes: lane l adds elements l, l + LANES,
... in that order, and the lanes are added from 0 up. So the bits depend on the values
alone, never on the vector width of the CPU; LLVM may not reorder float sums, hence
the lanes are written out as vectors of its intermediate language. A fused multiply-add
is one rounding on every CPU that has it, and a call of libm's `fma` elsewhere.

A *row* of `FIELDS` float64 summarizes any set of elements, and rows merge (`merge`):
P. Pebay, "Formulas for robust, one-pass parallel computation of covariances and
arbitrary-order statistical moments", Sandia report SAND2008-6212 (2008).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from seedpoint.models.stream.jit import kernel

Values = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint16]
"""Contiguous elements; uint16 are the bit patterns of bfloat16."""

Rows = NDArray[np.float64]
Keys = NDArray[np.int64]

LANES = 16
FIELDS = (
    *("count", "mean", "m2", "m3", "m4", "min", "max", "zeros", "nans", "infs"),
    *("segments", "quietest", "loudest"),
)
COUNT, MEAN, M2, M3, M4, MIN, MAX, ZEROS, NANS, INFS, SEGMENTS, QUIETEST, LOUDEST = range(
    len(FIELDS)
)

SEGMENT_ELEMENTS = 2048
"""Consecutive elements of a block whose sum of squares is looked at by itself.

A row records how many whole segments there are, and the least and the greatest of their sums.
"""

# Sums around zero lose about (mean / std)^4 of their precision; past this ratio of
# the mean square to the variance a block is summed again around its mean.
_RECENTER = 16.0
_CHUNK = 4096

_F32, _F64, _I16, _I32, _I64 = (
    ir.FloatType(),
    ir.DoubleType(),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
)


def _splat(kind: ir.Type, value: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)


def _load(builder: ir.IRBuilder, pointer: ir.Value, kind: ir.Type, *, bytes_: int) -> ir.Value:
    """LANES elements of `kind` at `pointer`, which is aligned to one of them."""
    vector = builder.load(builder.bitcast(pointer, ir.VectorType(kind, LANES).as_pointer()))
    vector.align = bytes_
    return vector


def _elements(builder: ir.IRBuilder, pointer: ir.Value, dtype: types.Type) -> ir.Value:
    """LANES elements as float32 (from float32 or bfloat16 bits) or float64."""
    if dtype == types.float64:
        return _load(builder, pointer, _F64, bytes_=8)
    if dtype == types.float32:
        return _load(builder, pointer, _F32, bytes_=4)
    bits = builder.zext(_load(builder, pointer, _I16, bytes_=2), ir.VectorType(_I32, LANES))
    return builder.bitcast(builder.shl(bits, _splat(_I32, 16)), ir.VectorType(_F32, LANES))


def _fold(builder: ir.IRBuilder, best: ir.Value, sign: str, values: ir.Value) -> None:
    """Keeps in `best` the lesser (`<`) or greater (`>`) of itself and `values`."""
    current = builder.load(best)
    better = builder.fcmp_ordered(sign, values, current)
    builder.store(builder.select(better, values, current), best)


def _add_powers(builder: ir.IRBuilder, sums: list[ir.Value], y: ir.Value) -> None:
    """Adds y, y^2, y^3 and y^4 to the four sums."""
    kind = y.type
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{LANES}f64"
    )
    square = builder.fmul(y, y)
    s1, s2, s3, s4 = (builder.load(total) for total in sums)
    builder.store(builder.fadd(s1, y), sums[0])
    builder.store(builder.fadd(s2, square), sums[1])
    builder.store(builder.call(fma, [square, y, s3]), sums[2])
    builder.store(builder.call(fma, [square, square, s4]), sums[3])


def _lane_sums(*, shifted: bool) -> Any:
    """An intrinsic `(values, shift, lanes) -> zeros` over the whole vectors of `values`.

    Writes into `lanes`, float64 (6, LANES), the lanes' sums of y, y^2, y^3, y^4 with
    y = x - shift (or x itself when not `shifted`), their least and their greatest x,
    and returns how many x are zero. The last len(values) % LANES elements are left out.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        dtype = signature.args[0].dtype
        kind = _F64 if dtype == types.float64 else _F32
        wide = ir.VectorType(_F64, LANES)
        values = context.make_array(signature.args[0])(context, builder, args[0])
        length = cgutils.unpack_tuple(builder, values.shape)[0]
        sums = [cgutils.alloca_once_value(builder, _splat(_F64, 0.0)) for _ in range(4)]
        least = cgutils.alloca_once_value(builder, _splat(kind, math.inf))
        greatest = cgutils.alloca_once_value(builder, _splat(kind, -math.inf))
        zeros = cgutils.alloca_once_value(builder, ir.Constant(_I64, 0))
        undefined = ir.Constant(wide, ir.Undefined)
        shift = builder.insert_element(undefined, args[1], ir.Constant(_I32, 0))
        shift = builder.shuffle_vector(shift, undefined, _splat(_I32, 0))

        with cgutils.for_range(builder, builder.udiv(length, ir.Constant(_I64, LANES))) as loop:
            start = builder.mul(loop.index, ir.Constant(_I64, LANES))
            x = _elements(builder, builder.gep(values.data, [start]), dtype)
            y = builder.fpext(x, wide) if kind is _F32 else x
            _fold(builder, least, "<", x)
            _fold(builder, greatest, ">", x)
            # A population count of the comparison's mask is one vector operation cheaper
            # than adding the mask.
            mask = builder.fcmp_ordered("==", x, _splat(kind, 0.0))
            count = builder.ctpop(builder.bitcast(mask, ir.IntType(LANES)))
            builder.store(builder.add(builder.load(zeros), builder.zext(count, _I64)), zeros)
            _add_powers(builder, sums, builder.fsub(y, shift) if shifted else y)

        out = context.make_array(signature.args[2])(context, builder, args[2])
        extremes = [builder.load(least), builder.load(greatest)]
        if kind is _F32:
            extremes = [builder.fpext(extreme, wide) for extreme in extremes]
        for row, vector in enumerate([*map(builder.load, sums), *extremes]):
            pointer = builder.gep(out.data, [ir.Constant(_I64, row * LANES)])
            stored = builder.store(vector, builder.bitcast(pointer, wide.as_pointer()))
            stored.align = 8
        return builder.load(zeros)

    def typer(_context: Any, values: Any, _shift: Any, lanes: Any) -> Any:
        return types.int64(values, types.float64, lanes), codegen

    return intrinsic(typer)


_plain_sums = _lane_sums(shifted=False)
_shifted_sums = _lane_sums(shifted=True)


def _element(_context: Any, values: Any, _index: Any) -> Any:
    """`values[index]` as a float64: of float32, float64 or bfloat16 bits (uint16)."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        value = builder.load(builder.gep(array.data, [args[1]]))
        if signature.args[0].dtype == types.uint16:
            bits = builder.shl(builder.zext(value, _I32), ir.Constant(_I32, 16))
            value = builder.bitcast(bits, _F32)
        return value if value.type == _F64 else builder.fpext(value, _F64)

    return types.float64(values, types.int64), codegen


element: Any = intrinsic(_element)


@kernel
def _segment_sums(values: Values, lanes: Rows, row: Rows) -> int:
    """Fills `lanes` for all of `values`, segment by segment, and the row's segment fields.

    Returns how many values of the whole vectors are zero.
    """
    part = np.empty((6, LANES))
    zeros, quietest, loudest = 0, np.inf, -np.inf
    lanes[:4], lanes[4], lanes[5] = 0.0, np.inf, -np.inf
    for start in range(0, len(values), SEGMENT_ELEMENTS):
        zeros += _plain_sums(values[start : start + SEGMENT_ELEMENTS], 0.0, part)
        for lane in range(LANES):
            lanes[0, lane] += part[0, lane]
            lanes[1, lane] += part[1, lane]
            lanes[2, lane] += part[2, lane]
            lanes[3, lane] += part[3, lane]
            lanes[4, lane] = min(lanes[4, lane], part[4, lane])
            lanes[5, lane] = max(lanes[5, lane], part[5, lane])
        if start + SEGMENT_ELEMENTS <= len(values):
            width = LANES // 2
            while width:  # a fixed tree of additions, short enough not to wait for
                for lane in range(width):
                    part[1, lane] += part[1, lane + width]
                width //= 2
            quietest, loudest = min(quietest, part[1, 0]), max(loudest, part[1, 0])
    row[SEGMENTS] = len(values) // SEGMENT_ELEMENTS
    row[QUIETEST], row[LOUDEST] = quietest, loudest
    return zeros


@kernel
def _power_sums(values: Values, shift: float, lanes: Rows, row: Rows) -> tuple[float, ...]:
    """(s1, s2, s3, s4, min, max, zeros) of the values around `shift`.

    Fills in the row's segment fields when `shift` is 0.
    """
    if shift == 0.0:
        zeros = _segment_sums(values, lanes, row)
    else:
        zeros = _shifted_sums(values, shift, lanes)
    s1, s2, s3, s4, low, high = 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf
    for lane in range(LANES):
        s1 += lanes[0, lane]
        s2 += lanes[1, lane]
        s3 += lanes[2, lane]
        s4 += lanes[3, lane]
        low = min(low, lanes[4, lane])
        high = max(high, lanes[5, lane])
    for i in range(len(values) // LANES * LANES, len(values)):
        x = element(values, i)
        y = x - shift
        s1 += y
        s2 += y * y
        s3 += y * y * y
        s4 += (y * y) * (y * y)
        low = min(low, x)
        high = max(high, x)
        zeros += x == 0.0
    return s1, s2, s3, s4, low, high, zeros


@kernel
def _count_non_finite(values: Values, row: Rows) -> None:
    """Fills in the row's NaN and infinity counts, and the extremes of the finite values."""
    low, high, nans, infs = np.inf, -np.inf, 0, 0
    for i in range(len(values)):
        x = element(values, i)
        if np.isnan(x):
            nans += 1
        elif np.isinf(x):
            infs += 1
        else:
            low, high = min(low, x), max(high, x)
    row[MIN], row[MAX], row[NANS], row[INFS] = low, high, nans, infs


@kernel
def _center(row: Rows, sums: tuple[float, ...], count: int, shift: float) -> None:
    """Fills in the row's mean and central moments from power sums around `shift`."""
    s1, s2, s3, s4 = sums
    d = s1 / count
    row[MEAN] = shift + d
    row[M2] = s2 - d * s1
    row[M3] = s3 - 3.0 * d * s2 + 2.0 * d * d * s1
    row[M4] = s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * d * d * d * s1


@kernel
def _summarize(values: Values, lanes: Rows, row: Rows) -> None:
    """Fills `row` with the summary of one block (at least one element)."""
    count = len(values)
    s1, s2, s3, s4, low, high, zeros = _power_sums(values, 0.0, lanes, row)
    row[COUNT], row[ZEROS], row[MIN], row[MAX] = count, zeros, low, high
    row[NANS], row[INFS] = 0.0, 0.0
    if not np.isfinite(s4):  # a NaN or an infinity, or float64 values past 1e77
        _count_non_finite(values, row)
    if row[MIN] == row[MAX] and row[NANS] + row[INFS] == 0:
        row[MEAN], row[M2], row[M3], row[M4] = low, 0.0, 0.0, 0.0
        return
    _center(row, (s1, s2, s3, s4), count, 0.0)
    if s2 > _RECENTER * row[M2]:
        shift = row[MEAN]
        s1, s2, s3, s4, low, high, zeros = _power_sums(values, shift, lanes, row)
        _center(row, (s1, s2, s3, s4), count, shift)


@kernel
def merge(a: Rows, b: Rows, out: Rows) -> None:
    """Fills row `out` with the summary of what rows `a` and `b` summarize (out may be a)."""
    na, nb = a[COUNT], b[COUNT]
    n = na + nb
    if na == 0.0 or nb == 0.0:
        out[:] = b if na == 0.0 else a
        return
    fa, fb = na / n, nb / n
    d = b[MEAN] - a[MEAN]
    d2 = d * d
    m4 = a[M4] + b[M4] + d2 * d2 * na * fb * (fa * fa - fa * fb + fb * fb)
    m4 += 6.0 * d2 * (fa * fa * b[M2] + fb * fb * a[M2]) + 4.0 * d * (fa * b[M3] - fb * a[M3])
    m3 = a[M3] + b[M3] + d * d2 * na * fb * (fa - fb)
    m3 += 3.0 * d * (fa * b[M2] - fb * a[M2])
    out[M2] = a[M2] + b[M2] + d2 * na * fb
    out[M3], out[M4] = m3, m4
    out[MEAN] = a[MEAN] + d * fb
    out[MIN], out[MAX] = min(a[MIN], b[MIN]), max(a[MAX], b[MAX])
    out[COUNT] = n
    for field in (ZEROS, NANS, INFS, SEGMENTS):
        out[field] = a[field] + b[field]
    out[QUIETEST] = min(a[QUIETEST], b[QUIETEST])
    out[LOUDEST] = max(a[LOUDEST], b[LOUDEST])


@kernel
def measure(values: Values, first: int, block: int, rows: Rows, keys: Keys) -> int:
    """Summaries of consecutive blocks as nodes of the binary tree over all blocks.

    `values` holds blocks first, first + 1, ... of `block` elements (the last may be
    shorter). Node (level, index) covers blocks [index << level, (index + 1) << level).
    Siblings are merged here; what remains goes to `rows` and `keys` (level, index),
    at most two of a level, and their number is returned.
    """
    lanes = np.empty((6, LANES))
    top = 0
    for start in range(0, len(values), block):
        _summarize(values[start : start + block], lanes, rows[top])
        keys[top, 0], keys[top, 1] = 0, first + start // block
        while top > 0 and keys[top, 0] == keys[top - 1, 0] and keys[top, 1] % 2 == 1:
            top -= 1
            merge(rows[top], rows[top + 1], rows[top])
            keys[top, 0] += 1
            keys[top, 1] //= 2
        top += 1
    return top


@kernel
def histogram(values: Values, low: float, high: float, counts: Keys) -> None:
    """Adds to `counts` how many values fall in each of its equal bins over [low, high].

    `counts` is int64 (bins), at most 256 bins; every value lies in [low, high], and the
    last bin holds `high` too. Halves, so that the width of any finite range is finite.
    """
    bins = len(counts)
    base = low * 0.5
    scale = bins / (high * 0.5 - base)
    if not np.isfinite(scale):  # no float64 lies between
        counts[0] += len(values)
        return
    last = np.int32(bins - 1)
    places = np.empty(_CHUNK, np.uint8)
    # Equal values that follow each other would wait for each other's increment.
    tables = np.zeros((4, 256), np.int64)
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        for i in range(len(part)):  # vectorizes
            place = np.int32((element(part, i) * 0.5 - base) * scale)
            places[i] = min(place, last)
        whole = len(part) // 4 * 4
        for i in range(0, whole, 4):
            tables[0, places[i]] += 1
            tables[1, places[i + 1]] += 1
            tables[2, places[i + 2]] += 1
            tables[3, places[i + 3]] += 1
        for i in range(whole, len(part)):
            tables[0, places[i]] += 1
    for table in range(4):
        for i in range(bins):
            counts[i] += tables[table, i]


def warm_up() -> None:
    """Compiles every kernel for every type of values, or loads it from Numba's cache."""
    rows, keys = np.zeros((4, len(FIELDS))), np.zeros((4, 2), np.int64)
    every: tuple[Values, ...] = (
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float64),
        np.zeros(LANES, np.uint16),
    )
    for values in every:
        measure(values, 0, LANES, rows, keys)
        histogram(values, 0.0, 1.0, keys[0])
    merge(rows[0], rows[1], rows[2])
