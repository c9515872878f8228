"""Placements of a tensor on a mesh of processes: the indices that one process holds.

The words are DTensor's. A mesh is a shape, such as (2, 4) for 2 x 4 processes, and a process is a
coordinate in it. A tensor has one placement for each dimension of the mesh; they apply from left
to right. Nothing here allocates memory for the mesh or the tensor, whatever their sizes.

Semantics: https://docs.pytorch.org/docs/stable/distributed.tensor.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
Indices = tuple[range, ...]
"""Indices along one dimension, in the order of the local tensor: ranges of step 1, none empty."""


class PlacementError(ValueError):
    """Placement that does not fit the tensor or the mesh."""


@dataclass(frozen=True, slots=True)
class Replicate:
    """Placement that gives every process the whole tensor."""

    def __str__(self) -> str:
        return "Replicate()"


@dataclass(frozen=True, slots=True)
class Shard:
    """Placement that cuts dimension `dim` as `torch.chunk` does; the last shards may be empty."""

    dim: int

    def __str__(self) -> str:
        return f"Shard({self.dim})"


@dataclass(frozen=True, slots=True)
class StridedShard:
    """DTensor's `_StridedShard`, the placement of FSDP2 over tensor parallelism.

    Dimension `dim` is cut into `split_factor` pieces and each of these into shards; a process holds
    its shard of every piece, one after the other.
    """

    dim: int
    split_factor: int

    def __str__(self) -> str:
        return f"_StridedShard({self.dim}, split_factor={self.split_factor})"


Placement = Replicate | Shard | StridedShard


def local_indices(
    shape: Shape, mesh: Shape, coordinate: Sequence[int], placements: Sequence[Placement]
) -> tuple[Indices, ...]:
    """Return the indices, for each dimension, of a tensor of `shape` that a process holds.

    The process is the one at `coordinate` of a mesh of shape `mesh`. Its local tensor consists of
    the elements at every combination of these indices, in their order.

    Raises:
        PlacementError: The numbers of placements, mesh dimensions and coordinates differ, the
            coordinate is outside the mesh, or a placement names a dimension that the tensor lacks.
    """
    _check_mesh(mesh, coordinate, placements)
    found = [whole(size) for size in shape]
    for size, place, placement in zip(mesh, coordinate, placements, strict=True):
        if isinstance(placement, Replicate):
            continue
        dim = _dimension(placement, shape)
        if isinstance(placement, Shard):
            found[dim] = _chunk(found[dim], size, place)
        else:
            found[dim] = _strided(found[dim], placement.split_factor, size, place)
    return tuple(found)


def whole(size: int) -> Indices:
    """Return all indices of a dimension of `size`."""
    return (range(size),) if size else ()


def count(indices: Indices) -> int:
    """Return the number of indices."""
    return sum(map(len, indices))


def _check_mesh(mesh: Shape, coordinate: Sequence[int], placements: Sequence[Placement]) -> None:
    if len(placements) != len(mesh):
        raise PlacementError(
            f"{len(placements)} placements for a mesh of {len(mesh)} dimensions; "
            "each mesh dimension needs one"
        )
    if len(coordinate) != len(mesh):
        raise PlacementError(
            f"coordinate {list(coordinate)} has {len(coordinate)} numbers, and the mesh "
            f"{list(mesh)} has {len(mesh)} dimensions"
        )
    if not all(0 <= place < size for size, place in zip(mesh, coordinate, strict=True)):
        raise PlacementError(f"coordinate {list(coordinate)} is outside the mesh {list(mesh)}")


def _dimension(placement: Shard | StridedShard, shape: Shape) -> int:
    """Return the dimension that a placement cuts; negative ones count from the end."""
    if not -len(shape) <= placement.dim < len(shape):
        raise PlacementError(
            f"{placement} cuts dimension {placement.dim} of a tensor of shape {list(shape)}, "
            f"which has {len(shape)} dimensions"
        )
    if isinstance(placement, StridedShard) and placement.split_factor < 1:
        raise PlacementError(f"{placement} needs a split_factor of at least 1")
    return placement.dim % len(shape)


def _chunk(indices: Indices, chunks: int, number: int) -> Indices:
    """Return chunk `number` of `chunks`, by the rule of `torch.chunk`."""
    total = count(indices)
    size = -(-total // chunks)
    return tuple(_between(indices, min(number * size, total), min((number + 1) * size, total)))


def _strided(indices: Indices, pieces: int, chunks: int, number: int) -> Indices:
    total = count(indices)
    filled = -(-total // max(-(-total // pieces), 1))  # later pieces are empty
    shards = (_chunk(_chunk(indices, pieces, piece), chunks, number) for piece in range(filled))
    return tuple(part for shard in shards for part in shard)


def _between(indices: Indices, start: int, stop: int) -> Iterator[range]:
    """Yield the indices at places [start, stop)."""
    at = 0
    for part in indices:
        low, high = max(start - at, 0), min(stop - at, len(part))
        if low < high:
            yield part[low:high]
        at += len(part)
