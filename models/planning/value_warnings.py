"""Warnings of values: draws far in a tail, single rows of `orthogonal`, rows of padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedpoint.models.draws import TruncNormal
from seedpoint.models.initializers import Own
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Base,
    FillRegion,
    Materialized,
    Orthogonal,
    Program,
    Source,
    Split,
    Sum,
    Transform,
    ZeroRows,
)
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.record_architecture import Structure
from seedpoint.models.spec.schema import Spec
from seedpoint.models.validation.messages import listed

FEW_VALUES = 1 << 16  # different values of a draw, below which they repeat noticeably
NO_TRUNCATION = 6.0  # std; a normal value lies beyond it once in 5 * 10^8

Shape = tuple[int, ...]


def of_truncation(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    """Yield a warning for each truncated normal of few values, or that truncates nothing."""
    few: dict[tuple[int, TruncNormal], list[str]] = {}
    wide: dict[tuple[int, TruncNormal], list[str]] = {}
    for tensor in tensors:
        if tensor.rule is None:
            continue
        for source in _sources(shown(tensor.program)):
            if not isinstance(source, TruncNormal):
                continue
            if source.distinct_values < FEW_VALUES:
                few.setdefault((tensor.rule, source), []).append(tensor.name)
            nearest = min(source.mean - source.a, source.b - source.mean)
            if nearest >= NO_TRUNCATION * source.std:
                wide.setdefault((tensor.rule, source), []).append(tensor.name)
    for (rule, source), names in few.items():
        count = f"{source.distinct_values:,}"
        message = f"{_each(names)} has only {count} different values, so far in a tail"
        yield _of_initializer("SP204", rule, message)
    for (rule, source), names in wide.items():
        message = (
            f"trunc_normal truncates nothing in {listed(list(dict.fromkeys(names)))}: its bounds "
            f"[{source.a:g}, {source.b:g}] are absolute, and std is {source.std:g}; "
            'write `"a": "-2 * std", "b": "2 * std"` to truncate at two std'
        )
        yield _of_initializer("SP205", rule, message)


def of_rows(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    """Yield a warning for each rule whose `orthogonal` fills parts of one row."""
    single: dict[int, list[PlanTensor]] = {}
    for tensor in tensors:
        if tensor.rule is not None and _fills_single_rows(shown(tensor.program), tensor.shape):
            single.setdefault(tensor.rule, []).append(tensor)
    for rule, found in single.items():
        names = listed([tensor.name for tensor in found])
        message = f"orthogonal fills parts of one row in {names}: each is a unit vector"
        if any(len(tensor.shape) > 2 for tensor in found):
            message += (
                '; for separate matrices stacked along an axis, use "fan": {"batch_axes": [0]} '
                "instead of splits"
            )
        yield _of_initializer("SP206", rule, message)


def of_padding(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    """Yield a warning for each rule that draws over rows of `padding_idx`."""
    drawn: dict[int, list[str]] = {}
    for tensor in tensors:
        if tensor.rule is None or isinstance(spec.init.rules[tensor.rule].initializers[-1], Own):
            continue
        for name in (tensor.name, *tensor.aliases):
            row = structure.padding.get(name)
            if row is not None and _draws_row(shown(tensor.program), tensor.shape, row):
                drawn.setdefault(tensor.rule, []).append(f"{name}[{row}]")
    for rule, rows in drawn.items():
        message = (
            f"init.rules.{rule} draws over the row of padding_idx, {listed(rows)}; add the "
            "transform zero_rows to set it to zero"
        )
        yield PlanWarning("SP207", f"init.rules.{rule}", message)


def shown(program: Program) -> Program:
    """Return the program of values, which a platform-bound plan keeps beside their bytes."""
    source = program.source
    return source.shown if isinstance(source, Materialized) else program


def _sources(program: Program) -> Iterator[Source]:
    """Yield the source of a program, or those of its parts and terms."""
    match program.source:
        case Split(parts=parts):
            for part in parts:
                yield from _sources(part.program)
        case Sum(terms=terms):
            for term in terms:
                yield from _sources(term)
        case source:
            yield source


def _fills_single_rows(program: Program, shape: Shape) -> bool:
    """Return whether a part is an orthogonal matrix of one row; a stack has no parts."""
    match program.source:
        case Split(squeeze=False, parts=parts) as split:
            return any(_is_single_row(part.program, split.shape_of(part, shape)) for part in parts)
        case _:
            return False


def _is_single_row(program: Program, shape: Shape) -> bool:
    match program.source:
        case Orthogonal() as source:
            return source.matrix(shape)[0] == 1
        case Split(parts=parts) as split:
            return any(_is_single_row(part.program, split.shape_of(part, shape)) for part in parts)
        case Sum(terms=terms):
            return any(_is_single_row(term, shape) for term in terms)
        case _:
            return False


def _draws_row(program: Program, shape: Shape, row: int) -> bool:
    """Return whether elements of `row` are random, and no transform sets them to zero."""
    if any(_zeroes(transform, shape, row) for transform in program.transforms):
        return False
    match program.source:
        case Split(axis=0, squeeze=False) as split:
            row %= split.stops[-1]
            start = 0
            for part, stop in zip(split.parts, split.stops, strict=True):
                if row < stop:
                    return _draws_row(part.program, split.shape_of(part, shape), row - start)
                start = stop
            return False
        case Base():  # the own init, whose row of padding is zero
            return False
        case _:
            return program.draws


def _zeroes(transform: Transform, shape: Shape, row: int) -> bool:
    match transform:
        case ZeroRows(rows=rows):
            return row in rows
        case FillRegion(region=(first, *others), value=0):
            return row in range(*first) and others == [(0, size, 1) for size in shape[1:]]
        case _:
            return False


def _of_initializer(code: str, rule: int, message: str) -> PlanWarning:
    path = f"init.rules.{rule}.initializer"
    return PlanWarning(code, path, f"{path}: {message}")


def _each(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return f"each of {listed(unique)}" if len(unique) > 1 else listed(unique)
