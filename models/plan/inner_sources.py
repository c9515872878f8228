"""Sources of which a program consists, at any depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seedpoint.models.plan.blob import Blob
from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import (
    Copy,
    Materialized,
    Norms,
    Program,
    SingularVector,
    Source,
    Split,
    Sum,
)


def inner_sources(program: Program) -> Iterator[Source]:
    """Yield the source of `program` and those inside it, which an evaluator reads.

    A materialized tensor is read as it was made, not from the program that it shows.
    """
    source = program.source
    yield source
    if isinstance(source, Split):
        for part in source.parts:
            yield from inner_sources(part.program)
        if source.base is not None:
            yield from inner_sources(source.base)
    if isinstance(source, Sum):
        for term in source.terms:
            yield from inner_sources(term)
    if isinstance(source, Norms | SingularVector | Copy):
        yield from inner_sources(source.of)
    if isinstance(source, SingularVector):
        yield from inner_sources(source.start)


def blobs_read(plan: Plan) -> frozenset[str]:
    """Return the SHA-256 of every blob that the tensors of `plan` are read from."""
    programs = {id(tensor.program): tensor.program for tensor in plan.tensors}
    return _blobs(programs.values())


def blobs_named(plan: Plan) -> frozenset[str]:
    """Return the SHA-256 of every blob that making the tensors of `plan` needs."""
    programs = {id(tensor.program): tensor.program for tensor in plan.tensors}
    shown = (
        program.source.shown if isinstance(program.source, Materialized) else program
        for program in programs.values()
    )
    return _blobs(shown)


def _blobs(programs: Iterable[Program]) -> frozenset[str]:
    return frozenset(
        source.sha256
        for program in programs
        for source in inner_sources(program)
        if isinstance(source, Blob)
    )
