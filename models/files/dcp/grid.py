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

DEFAULT_CHUNK_BYTES = 1 << 20
"""Least size of a chunk that the default grid cuts, so that its head and tail are negligible."""

DEFAULT_MAX_CHUNKS = 1 << 16
"""Chunks of the default grid; larger checkpoints get larger chunks."""

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

    Its chunks have DEFAULT_CHUNK_BYTES or more, except for narrow ones beside cuts that are uneven.
    g is bounded so that all names together have about DEFAULT_MAX_CHUNKS chunks, or one each.
    """
    found = [_default_parts(tensor) for tensor in tensors]
    bound = max(found, default=1)
    while bound > 1 and _estimate(tensors, found, bound) > DEFAULT_MAX_CHUNKS:
        bound //= 2
    return [Grid(min(parts, bound), min(parts, bound)) for parts in found]


def _default_parts(tensor: Tensor) -> int:
    parts = 1
    while parts < min(MAX_PARTS, max(tensor.shape[:_CUT_AXES], default=0)):
        if tensor.nbytes < _product(tensor, 2 * parts) * DEFAULT_CHUNK_BYTES:
            break
        parts *= 2
    return parts


def _estimate(tensors: Sequence[Tensor], found: Sequence[int], bound: int) -> int:
    """Return the chunks of all names, without the narrow ones that uneven cuts add."""
    return sum(
        _product(tensor, min(parts, bound)) * (1 + len(tensor.aliases))
        for tensor, parts in zip(tensors, found, strict=True)
    )


def _product(tensor: Tensor, parts: int) -> int:
    return math.prod(min(size, parts) for size in tensor.shape[:_CUT_AXES])
