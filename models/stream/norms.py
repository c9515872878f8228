"""Norms of the rows or columns of a matrix that is computed in chunks.

Sums of squares are taken in binary64, in the order of the matrix's rows, one element after the
other, with one rounding for each product and sum. The root is binary64's own, which IEEE 754 rounds
correctly. The bits therefore depend on no library, device or number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Values = Callable[[int, int], npt.NDArray[np.float32]]
"""Function that returns elements [start, stop) of the matrix, row-major."""
Norms = npt.NDArray[np.float64]

# elements of the matrix held at a time
CHUNK_ELEMENTS = 1 << 20


def row_norms(values: Values, columns: int, first: int, last: int) -> Norms:
    """Return the norms of rows [first, last) of a matrix with `columns` columns."""
    found = np.empty(last - first)
    for row in range(first, last):
        total = np.zeros(1)
        for start in range(0, columns, CHUNK_ELEMENTS):
            stop = min(start + CHUNK_ELEMENTS, columns)
            total = _added(total, values(row * columns + start, row * columns + stop)[:, None])
        found[row - first] = total[0]
    return np.sqrt(found)


def column_norms(values: Values, rows: int, columns: int) -> Norms:
    """Return the norm of every column of a matrix of `rows` x `columns`."""
    total = np.zeros(columns)
    step = max(1, CHUNK_ELEMENTS // max(columns, 1))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        total = _added(total, values(first * columns, last * columns).reshape(-1, columns))
    return np.sqrt(total)


def _added(total: Norms, values: npt.NDArray[np.float32]) -> Norms:
    """Add the squares of `values` to `total`, one row after the other."""
    wide = values.astype(np.float64)
    # `accumulate` is defined as a loop; `sum` would pair terms.
    sums: Norms = np.add.accumulate(np.concatenate([total[None, :], wide * wide]), axis=0)[-1]
    return sums
