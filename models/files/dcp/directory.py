"""Directory of torch.distributed.checkpoint: one file per chunk, found by name."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from seedpoint.models.dtypes import DType
from seedpoint.models.files.dcp.archive import archive
from seedpoint.models.files.dcp.grid import (
    MAX_CHUNKS,
    Cuts,
    Grid,
    GridError,
    count,
    default_grids,
)
from seedpoint.models.files.layout import Tensor
from seedpoint.models.files.slices import Slice, rectangle

METADATA = ".metadata"

_NAME = re.compile(r"__(0|[1-9][0-9]{0,17})_0\.distcp")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a tensor: its first element's index in each dimension, and its size in each."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DcpFile:
    """File of one chunk: `head`, then the elements of `window` in tensor number `tensor`, `tail`.

    The elements, row-major and little-endian, take `data_bytes`.
    """

    name: str
    tensor: int
    dtype: DType
    window: Slice
    head: bytes
    tail: bytes

    @property
    def data_bytes(self) -> int:
        return self.window.numel * self.dtype.itemsize

    @property
    def size_bytes(self) -> int:
        return len(self.head) + self.data_bytes + len(self.tail)


class DcpDirectory:
    """Layout of `tensors` as a directory of torch.distributed.checkpoint.

    `grid` cuts every tensor; by default each gets the grid of `default_grids`. Each chunk is a
    file; files are numbered by tensor, then row-major by chunk. `names` gives some of the tensors'
    names and aliases other names in the directory. Aliases share the files of their tensor.

    Raises:
        GridError: `grid` gives more than MAX_CHUNKS chunks, each counted under every name, and
            more than one for each name.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        *,
        grid: Grid | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        if narrow := [tensor.name for tensor in tensors if tensor.dtype.per_item > 1]:
            raise GridError(f"elements of {narrow[0]!r} share bytes, so no chunks can be cut of it")
        self.tensors = tensors
        self.grid = grid
        self._names = names or {}
        grids = [grid] * len(tensors) if grid is not None else default_grids(tensors)
        most = math.inf if grid is None else max(MAX_CHUNKS, _listed(tensors))
        self._cuts = list(_cuts(tensors, grids, most))
        self._firsts = list(accumulate(map(count, self._cuts), initial=0))

    def __len__(self) -> int:
        """Return the number of chunks."""
        return self._firsts[-1]

    def names(self, tensor: int) -> tuple[str, ...]:
        """Return the names of tensor number `tensor` in the directory, aliases included."""
        found = self.tensors[tensor]
        return tuple(self._names.get(name, name) for name in (found.name, *found.aliases))

    def chunks(self, tensor: int) -> Iterator[Chunk]:
        """Yield the chunks of tensor number `tensor`, row-major."""
        for number in range(count(self._cuts[tensor])):
            yield self._chunk(tensor, number)

    def file_names(self) -> Iterator[str]:
        """Yield the name of every file: `.metadata`, then those of the chunks."""
        yield METADATA
        yield from map(chunk_file_name, range(len(self)))

    def file(self, name: str) -> DcpFile | None:
        """Return the file of a chunk; None if no chunk has this name. Takes O(log tensors)."""
        match = _NAME.fullmatch(name)
        if match is None or (number := int(match[1])) >= len(self):
            return None
        tensor = bisect_right(self._firsts, number) - 1
        planned = self.tensors[tensor]
        chunk = self._chunk(tensor, number - self._firsts[tensor])
        window = rectangle(chunk.offsets, chunk.sizes, planned.shape)
        around = archive(planned.dtype, chunk.sizes)
        return DcpFile(name, tensor, planned.dtype, window, around.head, around.tail)

    def first_file(self, tensor: int) -> int:
        """Return the number of the file of a tensor's first chunk."""
        return self._firsts[tensor]

    @property
    def size_bytes(self) -> int:
        """Size of the files of all chunks together."""
        return sum(
            archive(tensor.dtype, chunk.sizes).size_bytes
            for index, tensor in enumerate(self.tensors)
            for chunk in self.chunks(index)
        )

    def _chunk(self, tensor: int, number: int) -> Chunk:
        """Return chunk `number` of a tensor."""
        shape, cuts = self.tensors[tensor].shape, self._cuts[tensor]
        places = _places(number, cuts)
        offsets = [cut[place] for cut, place in zip(cuts, places, strict=True)]
        sizes = [cut[place + 1] - cut[place] for cut, place in zip(cuts, places, strict=True)]
        rest = shape[len(cuts) :]
        return Chunk((*offsets, *(0,) * len(rest)), (*sizes, *rest))


def _listed(tensors: Sequence[Tensor]) -> int:
    """Return the number of names."""
    return sum(1 + len(tensor.aliases) for tensor in tensors)


def _cuts(
    tensors: Sequence[Tensor], grids: Sequence[Grid], most: float
) -> Iterator[tuple[Cuts, ...]]:
    """Yield the cuts of each tensor.

    Raises:
        GridError: As soon as there are more than `most` chunks, counted under every name.
    """
    listed = 0
    for tensor, grid in zip(tensors, grids, strict=True):
        found = grid.cuts(tensor.shape)
        listed += count(found) * (1 + len(tensor.aliases))
        if listed > most:
            raise GridError(f"grid {grid} gives more than {most} chunks; use fewer rows or columns")
        yield found


def chunk_file_name(number: int) -> str:
    """Return the name of the file of chunk `number`, in the form of DCP's own writer."""
    return f"__{number}_0.distcp"


def _places(number: int, cuts: Sequence[Cuts]) -> list[int]:
    """Return the position of a chunk in each cut dimension."""
    places: list[int] = []
    for cut in reversed(cuts):
        number, place = divmod(number, len(cut) - 1)
        places.insert(0, place)
    return places
