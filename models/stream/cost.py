"""Limits on sources that are computed whole, not element by element."""

from __future__ import annotations

from collections.abc import Iterator

from seedpoint.models.plan.program import (
    Copy,
    Norms,
    Orthogonal,
    Program,
    SingularVector,
    Split,
    Sum,
    Whole,
)
from seedpoint.models.stream.orthogonal import orthogonal_cost

Shape = tuple[int, ...]

MAX_ORTHOGONAL_BYTES = 4 << 30  # during the computation: a matrix of about 16,000 x 16,000
MAX_ORTHOGONAL_OPERATIONS = 10**13  # about two minutes on two cores
MAX_SPARSE_ELEMENTS = 10**11
MAX_SPARSE_COLUMNS = 10**7
MAX_NORMED_ELEMENTS = 1 << 28  # recomputed for every range of norms: a second or two
MAX_POWER_PRODUCTS = 1 << 28  # elements times iterations of a power method: likewise


def whole_sources(program: Program, shape: Shape) -> Iterator[tuple[Whole, Shape]]:
    """Yield each whole-tensor source of `program`, with the shape that it fills."""
    source = program.source
    if isinstance(source, Whole):
        yield source, shape
    if isinstance(source, Norms | SingularVector | Copy):
        yield from whole_sources(source.of, source.shape)
    if isinstance(source, Sum):
        for term in source.terms:
            yield from whole_sources(term, shape)
    if isinstance(source, Split):
        if source.base is not None:
            yield from whole_sources(source.base, shape)
        for part in source.parts:
            yield from whole_sources(part.program, source.shape_of(part, shape))


def too_costly(source: Whole, shape: Shape) -> str | None:
    """Return the reason why a tensor of `shape` exceeds the limits; None when it does not."""
    size = " x ".join(map(str, shape))
    if isinstance(source, Orthogonal):
        cost = orthogonal_cost(source.matrix(shape))
        if cost.nbytes <= MAX_ORTHOGONAL_BYTES and cost.operations <= MAX_ORTHOGONAL_OPERATIONS:
            return None
        return (
            f"an orthogonal tensor of {size} takes {cost.nbytes} bytes and {cost.operations} "
            f"operations; at most {MAX_ORTHOGONAL_BYTES} and {MAX_ORTHOGONAL_OPERATIONS}"
        )
    rows, columns = shape
    if rows * columns <= MAX_SPARSE_ELEMENTS and columns <= MAX_SPARSE_COLUMNS:
        return None
    return (
        f"a sparse tensor of {size} is too large; at most {MAX_SPARSE_ELEMENTS} elements and "
        f"{MAX_SPARSE_COLUMNS} columns"
    )
