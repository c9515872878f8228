"""Strata of a tensor: the elements of one law, a whole tensor or a part of a split one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seedpoint.models.statistics import dependence, histogram, moments
from seedpoint.models.statistics.dependence import Examined, Shape
from seedpoint.models.statistics.histogram import Histogram
from seedpoint.models.statistics.lines import Lines
from seedpoint.models.statistics.merge_tree import Tree, nothing
from seedpoint.models.statistics.moments import Rows, Values
from seedpoint.models.statistics.split_windows import Window

Center = Callable[[], float | None]


class Stratum:
    """Gatherer of the statistics of one law: of a whole tensor, or of its part in a `window`.

    `center` gives the mean around which neighbours are multiplied; None for elements whose
    laws differ by place, of which neither neighbours nor rows are looked at. `lines` keeps
    rows or columns that should be orthonormal. Afterwards `row` and `histogram` are those of
    the part, None for a whole tensor, which has its own.
    """

    __slots__ = ("_center", "_lines", "_tree", "examined", "histogram", "row", "shape", "window")

    def __init__(
        self,
        shape: Shape,
        blocks: int,
        *,
        window: Window | None = None,
        center: Center = lambda: None,
        lines: Lines | None = None,
    ) -> None:
        self.shape = shape
        self.window = window
        self.examined = Examined()
        self.row: Rows | None = None
        self.histogram: Histogram | None = None
        self._center = center
        self._lines = lines
        self._tree = Tree(blocks)

    def look(self, start: int, values: Values) -> Rows | None:
        """Take the tensor's elements from `start` on; return the row of the part among them."""
        if self.window is not None:
            values, start = self.window.cut(values, start), self.window.before(start)
        if self._lines is not None:
            self._lines.take(start, values)
        return None if self.window is None else _row(values)

    def climb(self, block: int, row: Rows) -> None:
        """Merge the part's row of one block; the caller holds a lock."""
        if (root := self._tree.climb(0, block, row)) is not None:
            self.row = root

    def finish(self, tensor: Rows, pieces: Sequence[tuple[int, Values]]) -> None:
        """Examine the sample, once all blocks have come: blocks by their first element.

        `tensor` is the row of all elements.
        """
        row = tensor if self.window is None else self.row
        assert row is not None
        if row[moments.NANS] + row[moments.INFS] or not row[moments.COUNT]:
            return
        sample = self._sample(pieces)
        if self.window is not None:
            low, high = float(row[moments.MIN]), float(row[moments.MAX])
            self.histogram = histogram.count(sample, low, high, int(row[moments.COUNT]))
        center = self._center()
        self.examined = Examined(
            () if center is None else dependence.lags(sample, self.shape, center),
            None if center is None else dependence.row_squares(sample, self.shape, row),
            None if self._lines is None else self._lines.products(),
        )

    def _sample(self, pieces: Sequence[tuple[int, Values]]) -> Values:
        if self.window is not None:
            return np.concatenate([self.window.cut(piece, start) for start, piece in pieces])
        return pieces[0][1] if len(pieces) == 1 else np.concatenate([piece for _, piece in pieces])


def _row(values: Values) -> Rows:
    if not len(values):
        return nothing()
    rows, keys = np.empty((2, len(moments.FIELDS))), np.empty((2, 2), np.int64)
    contiguous: Values = np.ascontiguousarray(values)  # type: ignore[assignment]
    moments.measure(contiguous, 0, len(values), rows, keys)
    row: Rows = rows[0]
    return row
