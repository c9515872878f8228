"""Grid of chunks: where the rows and columns of tensors are cut."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from seedpoint.models.files.layout import Tensor

MAX_PARTS = 4096
"""Parts of one dimension: more ranks than any mesh dimension has."""

MAX_CHUNKS = 1 << 17
"""Chunks of one directory: their `.metadata` takes 20 MB, and four seconds to write."""

CHUNK_BYTES = 1 << 20
"""Least size of a chunk that the default grid cuts.

Most have up to four times as much, which stock readers get by one request.
"""

_GRID = re.compile(r"([1-9][0-9]{0,18})x([1-9][0-9]{0,18})")
_CUT_AXES = 2

Cuts = tuple[int, ...]
"""Ascending positions from 0 to the size of a dimension; parts lie between neighbours."""


class GridError(ValueError):
    """Grid that is not allowed."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cuts of every tensor: `rows` parts of dimension 0 times `columns` parts of dimension 1.

    Further dimensions are never cut.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        for parts in (self.rows, self.columns):
            if not 1 <= parts <= MAX_PARTS:
                raise GridError(
                    f"grid {self} is not allowed; rows and columns are from 1 to {MAX_PARTS}"
                )

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @classmethod
    def parse(cls, text: str) -> Grid | None:
        """Return the grid written as `8x4` (rows x columns); None if `text` is no grid at all.

        Raises:
            GridError: Rows or columns are not from 1 to MAX_PARTS.
        """
        match = _GRID.fullmatch(text)
        return None if match is None else cls(int(match[1]), int(match[2]))

    def cuts(self, shape: tuple[int, ...]) -> tuple[Cuts, ...]:
        """Return the cuts of the first two dimensions, as far as a tensor of `shape` has them.

        A tensor without elements is not cut.
        """
        if not math.prod(shape):
            return tuple((0, size) for size in shape[:_CUT_AXES])
        parts = (self.rows, self.columns)
        return tuple(cuts(size, part) for size, part in zip(shape, parts, strict=False))


@lru_cache(maxsize=1 << 8)  # The longest take 300 KB.
def cuts(size: int, parts: int) -> Cuts:
    """Return the cuts of a dimension of `size` elements, at least 1, into `parts`.

    DTensor cuts a dimension over n ranks at the multiples of ceil(size / n), as `torch.chunk` does.
    The cuts are those of every n that divides `parts`, so the shard of a rank is a union of chunks.
    If `parts` divides `size`, these are `parts` equal parts; otherwise a few narrow ones are added.
    """
    if size % parts == 0:
        return tuple(range(0, size + 1, size // parts))
    steps = {-(-size // ranks) for ranks in range(1, parts + 1) if parts % ranks == 0}
    return tuple(sorted({size}.union(*(range(0, size, step) for step in steps))))


def count(cut: Sequence[Cuts]) -> int:
    """Return the number of chunks of a tensor."""
    return math.prod(len(positions) - 1 for positions in cut)


def default_grids(tensors: Sequence[Tensor]) -> list[Grid]:
    """Return the default grid of each tensor: g x g, for the largest suitable power of two g.

    Its chunks have CHUNK_BYTES or more, except for narrow ones beside cuts that are uneven. If
    all names together have more than about MAX_CHUNKS such chunks, they are twice as large, and so
    on.
    """
    least_bytes = CHUNK_BYTES
    while True:
        found = [_parts(tensor, least_bytes) for tensor in tensors]
        if max(found, default=1) == 1 or _estimate(tensors, found) <= MAX_CHUNKS:
            return [Grid(parts, parts) for parts in found]
        least_bytes *= 2


def _parts(tensor: Tensor, least_bytes: int) -> int:
    parts = 1
    if not tensor.nbytes:
        return parts
    while parts < min(MAX_PARTS, max(tensor.shape[:_CUT_AXES], default=0)):
        if tensor.nbytes < _product(tensor, 2 * parts) * least_bytes:
            break
        parts *= 2
    return parts


def _estimate(tensors: Sequence[Tensor], found: Sequence[int]) -> int:
    """Return the chunks of all names, without the narrow ones that uneven cuts add."""
    return sum(
        _product(tensor, parts) * (1 + len(tensor.aliases))
        for tensor, parts in zip(tensors, found, strict=True)
    )


def _product(tensor: Tensor, parts: int) -> int:
    return math.prod(min(size, parts) for size in tensor.shape[:_CUT_AXES])
