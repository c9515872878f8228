"""Householder QR in binary64, with every bit fixed by this order of operations alone.

A is m x n with m >= n. Its columns are cut into panels of WIDTH = 32; the last is narrower unless
32 divides n. Each written operation has one rounding; nothing is fused or reassociated. A sum
starts at +0 and adds its terms in the order of rising row numbers. P(X, Y) is the matrix of sums
over rows r of X[r, i] * Y[r, c].

Factorization goes panel by panel from the left. A panel's top is the row of its first column on the
diagonal. For each column j in turn, with row i = top + j and c a column of the panel:

    d[c] = sum over r > i of A[r, j] * A[r, c]              for c >= j; alpha = A[i, j]
    beta = sqrt(alpha * alpha + d[j]), negated where alpha >= 0
    tau  = (beta - alpha) / beta;  s = 1 / (alpha - beta)
    (where d[j] = 0: beta = alpha, tau = s = 0)             diag(R)[j] = beta
    t[c] = tau * (A[i, c] + s * d[c])                       for c > j
    A[i, c] = A[i, c] - t[c]
    v[r] = A[r, j] * s;  A[r, c] = A[r, c] - v[r] * t[c]    for r > i

V has 32 columns over rows >= top. It holds the v's below a diagonal of ones, and zeros above the
diagonal and in columns that the panel does not have. G = P(V, V), and (Schreiber and Van Loan, "A
Storage-Efficient WY Representation for Products of Householder Transformations", 1989)

    T[i, i] = tau[i];  T[k, i] = -tau[i] * (sum over l in [k, i) of T[k, l] * G[l, i])

for k < i, and zero elsewhere. The columns C right of the panel, rows >= top, become C - V U with
U = P(T, P(V, C)): terms V[r, k] * U[k, c] are subtracted one by one, k rising.

Q is the identity's first n columns after all panels, applied from the right: columns C from the
panel on, rows >= top, become C - V U with U = P(transpose of T, P(V, C)).

Nothing is scaled: squares must not overflow, nor underflow beside others that matter.

Each element therefore has one sequence of operations, whatever the tiles, vectors or threads. The
kernels spell out the vector code that LLVM should emit: a vector's lanes are columns, never terms
of a sum. They release the GIL.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy import float64

from seedpoint.models.stream.intrinsics import full_width
from seedpoint.models.stream.jit import kernel
from seedpoint.models.stream.parallel import Each, serial
from seedpoint.models.stream.vectors import LANES, load, minus, plus, store

Matrix = npt.NDArray[float64]

WIDTH = 32  # columns of a panel and of a tile: part of the definition
ROWS = 64  # rows whose 256 bytes of V and of C fit L1 together
SECOND, THIRD, FOURTH = LANES, 2 * LANES, 3 * LANES  # starts of a row's other vectors


# --- kernels ---------------------------------------------------------------------


@kernel
def products(out: Matrix, x: Matrix, y: Matrix) -> None:
    """Write P(x, y), WIDTH x WIDTH, to `out`; four of its rows at a time stay in registers."""
    full_width()
    out[:] = 0.0
    for first in range(0, len(x), ROWS):
        last = min(first + ROWS, len(x))
        for c in range(0, WIDTH, LANES):
            for i in range(0, WIDTH, 4):
                a, b = load(out, i, c), load(out, i + 1, c)
                d, e = load(out, i + 2, c), load(out, i + 3, c)
                for r in range(first, last):
                    line = load(y, r, c)
                    a, b = plus(a, x[r, i], line), plus(b, x[r, i + 1], line)
                    d, e = plus(d, x[r, i + 2], line), plus(e, x[r, i + 3], line)
                store(out, i, c, a)
                store(out, i + 1, c, b)
                store(out, i + 2, c, d)
                store(out, i + 3, c, e)


@kernel
def subtract(tile: Matrix, v: Matrix, u: Matrix) -> None:
    """Subtract v u from `tile` in place; four of its rows at a time stay in registers."""
    full_width()
    whole = len(tile) // 4 * 4
    for r in range(0, whole, 4):
        for c in range(0, WIDTH, LANES):
            a, b = load(tile, r, c), load(tile, r + 1, c)
            d, e = load(tile, r + 2, c), load(tile, r + 3, c)
            for k in range(WIDTH):
                line = load(u, k, c)
                a, b = minus(a, v[r, k], line), minus(b, v[r + 1, k], line)
                d, e = minus(d, v[r + 2, k], line), minus(e, v[r + 3, k], line)
            store(tile, r, c, a)
            store(tile, r + 1, c, b)
            store(tile, r + 2, c, d)
            store(tile, r + 3, c, e)
    for r in range(whole, len(tile)):
        for c in range(0, WIDTH, LANES):
            a = load(tile, r, c)
            for k in range(WIDTH):
                a = minus(a, v[r, k], load(u, k, c))
            store(tile, r, c, a)


@kernel
def reflect(tile: Matrix, v: Matrix, t: Matrix) -> None:
    """Apply a panel's reflectors to a tile of the same rows."""
    w, u = np.empty((WIDTH, WIDTH)), np.empty((WIDTH, WIDTH))
    products(w, v, tile)
    products(u, t, w)
    subtract(tile, v, u)


@kernel
def sweep(
    panel: Matrix, t: Matrix, d: Matrix, first: int, j: int, scale: float, ahead: int
) -> None:
    """Apply a reflector to its panel's rows from `first`, and compute the next reflector's sums.

    Column j is scaled to v, and v * t is subtracted. Then the products of column `ahead` with every
    column are summed over the rows after `first` into `d`.
    """
    full_width()
    d[:] = 0.0
    t0, t1 = load(t, 0, 0), load(t, 0, SECOND)
    t2, t3 = load(t, 0, THIRD), load(t, 0, FOURTH)
    d0, d1 = load(d, 0, 0), load(d, 0, SECOND)
    d2, d3 = load(d, 0, THIRD), load(d, 0, FOURTH)
    for r in range(first, len(panel)):
        v = panel[r, j] * scale
        a, b = minus(load(panel, r, 0), v, t0), minus(load(panel, r, SECOND), v, t1)
        p, q = minus(load(panel, r, THIRD), v, t2), minus(load(panel, r, FOURTH), v, t3)
        store(panel, r, 0, a)
        store(panel, r, SECOND, b)
        store(panel, r, THIRD, p)
        store(panel, r, FOURTH, q)
        panel[r, j] = v
        x = panel[r, ahead] if r > first else 0.0
        d0, d1, d2, d3 = plus(d0, x, a), plus(d1, x, b), plus(d2, x, p), plus(d3, x, q)
    store(d, 0, 0, d0)
    store(d, 0, SECOND, d1)
    store(d, 0, THIRD, d2)
    store(d, 0, FOURTH, d3)


@kernel
def factor(panel: Matrix, columns: int, t: Matrix, diagonal: Matrix) -> None:
    """Turn rows >= top of a panel into V, in place; write T to `t` and diag(R) to `diagonal`."""
    row, d, taus = np.zeros((1, WIDTH)), np.empty((1, WIDTH)), np.zeros(WIDTH)
    sweep(panel, row, d, 0, 0, 1.0, 0)  # changes nothing; computes the sums of column 0
    for j in range(columns):
        alpha, beta, scale = panel[j, j], panel[j, j], 0.0
        if d[0, j] != 0.0:
            root = np.sqrt(alpha * alpha + d[0, j])
            beta = -root if alpha >= 0.0 else root
            taus[j] = (beta - alpha) / beta
            scale = 1.0 / (alpha - beta)
        diagonal[j] = beta
        row[:] = 0.0
        for c in range(j + 1, WIDTH):
            row[0, c] = taus[j] * (panel[j, c] + scale * d[0, c])
        sweep(panel, row, d, j + 1, j, scale, min(j + 1, WIDTH - 1))
        panel[j, j] = 1.0
        panel[j, j + 1 :] = 0.0
    panel[:, columns:] = 0.0
    triangle(t, panel, taus)


@kernel
def triangle(t: Matrix, v: Matrix, taus: Matrix) -> None:
    """Write T of the panel V with the reflectors' `taus` to `t`."""
    g = np.empty((WIDTH, WIDTH))
    products(g, v, v)
    t[:] = 0.0
    for i in range(WIDTH):
        t[i, i] = taus[i]
        for k in range(i):
            total = 0.0
            for m in range(k, i):
                total += t[k, m] * g[m, i]
            t[k, i] = -taus[i] * total


# --- the decomposition -------------------------------------------------------------


def empty(rows: int, columns: int) -> Matrix:
    """Return uninitialized tiles for a matrix: [tile, row, column of the tile].

    Columns past `columns` in the last tile may hold anything. Rows begin at cache lines; otherwise
    512-bit vectors would be loaded in two halves.
    """
    count = -(-columns // WIDTH)
    raw = np.empty(count * rows * WIDTH + LANES)
    skipped = -raw.ctypes.data % 64 // 8
    return raw[skipped : skipped + count * rows * WIDTH].reshape(count, rows, WIDTH)


def decompose(tiles: Matrix, columns: int, each: Each = serial) -> Matrix:
    """Replace the matrix of `columns` columns in `tiles` with its Q; return diag(R).

    Q is rows x columns with orthonormal columns, A = Q R. `tiles` has the form that `empty`
    returns, with rows >= columns. `each` may call from many threads at once: no bit depends on it.
    """
    count, rows, _ = tiles.shape
    assert rows >= columns > 0
    assert count == -(-columns // WIDTH)
    ts, diagonal = np.empty((count, WIDTH, WIDTH)), np.empty(count * WIDTH)
    for number in range(count):
        top = number * WIDTH
        v, t = tiles[number, top:], ts[number]
        factor(v, min(WIDTH, columns - top), t, diagonal[top:])
        each(lambda k: reflect(tiles[k, top:], v, t), range(number + 1, count))  # noqa: B023
    _accumulate(tiles, ts, each)
    return diagonal[:columns]


def _accumulate(tiles: Matrix, ts: Matrix, each: Each) -> None:
    """Turn the V's in `tiles` into Q: once its V is copied out, a panel's tile is the identity."""
    count, rows, _ = tiles.shape
    copy = empty(rows, WIDTH)[0]
    for number in reversed(range(count)):
        top = number * WIDTH
        v, t = copy[top:], np.ascontiguousarray(ts[number].T)
        v[:] = tiles[number, top:]
        tiles[number] = 0.0
        np.fill_diagonal(tiles[number, top:], 1.0)
        each(lambda k: reflect(tiles[k, top:], v, t), range(number, count))  # noqa: B023
