"""A sample of the rows or columns of a matrix that should be orthonormal."""

from __future__ import annotations

import math
import threading

import numpy as np

from seedpoint.models.statistics import order_kernels
from seedpoint.models.statistics.dependence import Products
from seedpoint.models.statistics.moments import Values

MOST_ELEMENTS = 1 << 20  # of all lines together, where they are more than two
MOST_PRODUCTS = 1 << 24  # lines^2 times their length: some milliseconds, as a QR takes far longer

LONGEST = 1 << 21
"""The longest line of which two are kept; past it only the matrix's norm is judged."""

Shape = tuple[int, ...]


class Lines:
    """Evenly spaced lines along the longer side of a matrix, at least two where there are two.

    Thread-safe: blocks of the tensor come in any order, each once.
    """

    @staticmethod
    def fit(shape: Shape) -> bool:
        """Return whether there are two lines to compare, short enough to be kept."""
        rows, columns = shape[0], math.prod(shape[1:])
        return min(rows, columns) > 1 and max(rows, columns) <= LONGEST

    def __init__(self, shape: Shape) -> None:
        rows, columns = shape[0], math.prod(shape[1:])
        self._columns = columns
        self._are_rows = rows <= columns
        count, self.length = min(rows, columns), max(rows, columns)
        affordable = min(math.isqrt(MOST_PRODUCTS // self.length), MOST_ELEMENTS // self.length)
        most = max(affordable, 2)
        most = min(most, count)
        self._picked = tuple(number * count // most for number in range(most))
        self._kept: Values | None = None
        self._lock = threading.Lock()

    def take(self, start: int, values: Values) -> None:
        """Keep the sampled lines' elements among `values`, which begin at element `start`."""
        with self._lock:
            if self._kept is None:
                self._kept = np.empty(len(self._picked) * self.length, values.dtype)
        stop = start + len(values)
        for number, line in enumerate(self._picked):
            room = self._kept[number * self.length : (number + 1) * self.length]
            if self._are_rows:
                low, high = max(start, line * self.length), min(stop, (line + 1) * self.length)
                if low < high:
                    begin = line * self.length
                    room[low - begin : high - begin] = values[low - start : high - start]
            else:
                first = (start - line + self._columns - 1) // self._columns  # the first row inside
                found = values[first * self._columns + line - start :: self._columns]
                room[first : first + len(found)] = found

    def products(self) -> Products | None:
        """Return the extremes of the inner products, and let go of the lines."""
        kept, self._kept = self._kept, None
        return None if kept is None else Products(*order_kernels.products(kept, self.length))
