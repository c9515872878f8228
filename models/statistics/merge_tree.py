"""Rows of blocks, merged along the binary tree over block indices as they come."""

from __future__ import annotations

import math

import numpy as np

from seedpoint.models.statistics import moments
from seedpoint.models.statistics.moments import Rows


def nothing() -> Rows:
    """Return the row of no elements."""
    row = np.zeros(len(moments.FIELDS))
    row[moments.MIN], row[moments.MAX] = math.inf, -math.inf
    row[moments.QUIETEST], row[moments.LOUDEST] = math.inf, -math.inf
    return row


class Tree:
    """The merged row of `blocks` blocks; the caller holds a lock.

    About log2 of their number wait for their sibling when they come in order.
    """

    __slots__ = ("_blocks", "_top", "waiting")

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._top = max(blocks - 1, 0).bit_length()
        self.waiting: dict[tuple[int, int], Rows] = {}

    def climb(self, level: int, place: int, row: Rows) -> Rows | None:
        """Merge a node with its sibling, and so on upwards; return the root's row once complete.

        A node without any block to its right stands for its parent too.

        Raises:
            ValueError: For a node that has come before.
        """
        while level < self._top:
            sibling = place ^ 1
            if sibling < place or sibling << level < self._blocks:
                other = self.waiting.pop((level, sibling), None)
                if other is None:
                    if (level, place) in self.waiting:
                        raise ValueError(f"block {place << level} has come before")
                    self.waiting[level, place] = row
                    return None
                left, right = (other, row) if sibling < place else (row, other)
                moments.merge(left, right, row)
            level, place = level + 1, place >> 1
        return row
