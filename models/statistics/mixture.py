"""The elements of a tensor as groups, each of an exact size and with a law of its own.

The parts of a split, the ones and zeros of an identity, the boxes that transforms
fill: how many elements they hold is certain, so only what is drawn varies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from seedpoint.models.draws import Draw, Normal
from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import (
    Add,
    Base,
    Clamp,
    ClampRegion,
    Constant,
    Copy,
    Dirac,
    Divide,
    Eye,
    FillRegion,
    Function,
    Materialized,
    Plus,
    Program,
    SetElement,
    Sparse,
    Split,
    Sum,
    Transform,
    ZeroRows,
)
from seedpoint.models.statistics.distribution import Elementwise, Law, Points
from seedpoint.models.statistics.regions import (
    Box,
    Indices,
    TooManyBoxesError,
    intersection,
    size,
    uncovered,
)

MOST_BOXES = 256
"""Parts of a split up to which transforms may fill regions across them."""

MOST_LAWS = 1024
"""Laws of one tensor from which on it is not judged; each takes some kilobytes."""

Shape = tuple[int, ...]
Axes = tuple[range, ...]


class NoClosedFormError(ValueError):
    """The elements of a program are not groups with laws of their own."""


@dataclass(frozen=True, slots=True)
class Group:
    """`count` elements with one law, independent of each other."""

    count: int
    law: Law


@dataclass(frozen=True, slots=True)
class Painted:
    """A box whose elements are `groups` in some order, until later boxes cover it."""

    box: Box
    groups: tuple[Group, ...]


def population(program: Program, shape: Shape, *, double: bool = False) -> tuple[Group, ...]:
    """The groups of a tensor of `shape`; `double` when its values are computed in binary64.

    Empty for an empty tensor, and where there is no closed form (literals, identities
    that are overwritten in part).
    """
    if isinstance(program.source, Materialized):
        return population(program.source.shown, shape, double=double)
    source = program.source
    if isinstance(source, Split) and (source.repeat > 1 or source.count > MOST_BOXES):
        return _pattern(program, source, shape, double=double)
    try:
        painted = _paint(program, tuple(range(length) for length in shape), double=double)
        groups = [
            group
            for number, paint in enumerate(painted)
            for group in _left(paint, [later.box for later in painted[number + 1 :]])
        ]
    except (NoClosedFormError, TooManyBoxesError):
        return ()
    return tuple(group for group in groups if group.count)


def _pattern(program: Program, split: Split, shape: Shape, *, double: bool) -> tuple[Group, ...]:
    """The groups of a tensor of many parts; parts of one law are one group."""
    counts: dict[Law, int] = {}
    made: dict[tuple[int, Program], tuple[Group, ...]] = {}
    transforms = [each for each in program.transforms if isinstance(each, Elementwise)]
    if split.base is not None or len(transforms) < len(program.transforms):
        return ()
    for part in split.parts:
        key = (part.size, _unnamed(part.program))
        if key not in made:
            made[key] = population(part.program, split.shape_of(part, shape), double=double)
        if not made[key]:
            return ()
        for group in made[key]:
            counts[group.law] = counts.get(group.law, 0) + group.count * split.repeat
        if len(counts) > MOST_LAWS:
            return ()
    return tuple(
        Group(count, reduce(Law.transformed, transforms, law)) for law, count in counts.items()
    )


def _unnamed(program: Program) -> Program:
    """Return a program of the same law, whichever stream it draws from."""
    source = program.source
    return (
        replace(program, source=replace(source, stream=None))
        if isinstance(source, Draw)
        else program
    )


def mixed(groups: Sequence[Group], dtype: DType | None = None) -> Points:
    """The law of an element picked at random from all groups (converted to `dtype`)."""
    total = sum(group.count for group in groups)
    points = [visible(group.law.points(dtype), total) for group in groups]
    shares = [group.count / total for group in groups]
    weights = [part.weights * share for part, share in zip(points, shares, strict=True)]
    return Points(np.concatenate([part.values for part in points]), np.concatenate(weights))


def visible(points: Points, total: int) -> Points:
    """Without an overflow too rare to be seen among `total` elements."""
    lost = np.isnan(points.values)
    if lost.any() and points.weights[lost].sum() * total < 1e-9:
        return Points(points.values[~lost], points.weights[~lost])
    return points


def _left(paint: Painted, covers: Sequence[Box]) -> tuple[Group, ...]:
    """The groups of what no later box covers."""
    left = uncovered(paint.box, covers)
    if left == size(paint.box) or not left:
        return paint.groups if left else ()
    if len(paint.groups) > 1:  # which of them are covered is not known
        raise NoClosedFormError
    return (replace(paint.groups[0], count=left),)


def _paint(program: Program, box: Axes, *, double: bool) -> list[Painted]:
    """The program's boxes within `box`, later ones over earlier ones."""
    return _transformed(
        _source(program, box, double=double), program.transforms, box, double=double
    )


def _transformed(
    painted: list[Painted], transforms: Sequence[Transform], box: Axes, *, double: bool
) -> list[Painted]:
    for transform in transforms:
        match transform:
            case ZeroRows() | SetElement() | FillRegion():
                painted.append(_filled(transform, box, double=double))
            case ClampRegion(region=region, min=low, max=high):
                inside = tuple(axis[slice(*part)] for axis, part in zip(box, region, strict=True))
                kept = [_within(paint, inside) for paint in painted]
                painted += _transformed(kept, (Clamp(low, high),), inside, double=double)
            case _ if isinstance(transform, Divide | Function | Plus):
                raise NoClosedFormError
            case _:
                painted = [
                    Painted(
                        paint.box,
                        tuple(Group(g.count, g.law.transformed(transform)) for g in paint.groups),
                    )
                    for paint in painted
                ]
    return painted


def _source(program: Program, box: Axes, *, double: bool) -> list[Painted]:
    shape = tuple(map(len, box))
    total = math.prod(shape)
    zero, one = (Law.constant(value, double=double) for value in (0.0, 1.0))
    match program.source:
        case Draw() as draw:
            groups = [Group(total, Law.of(draw))]
        case Constant(value=value) if not isinstance(value, complex) and abs(value) < 2**1023:
            groups = [Group(total, Law.constant(float(value), double=double))]
        case Eye():
            groups = [Group(min(shape), one), Group(total - min(shape), zero)]
        case Dirac(groups=blocks):
            ones = blocks * min(shape[0] // blocks, shape[1])
            groups = [Group(ones, one), Group(total - ones, zero)]
        case Sparse(sparsity=sparsity, std=std):
            zeros = math.ceil(sparsity * shape[0]) * shape[1]
            groups = [Group(zeros, zero), Group(total - zeros, Law.of(Normal.of(0.0, std)))]
        case Sum(terms=terms):
            groups = list(_summed(terms, box, double=double))
        case Copy() as copy:
            groups = list(_copied(copy, total, double=double))
        case Split() as split:
            return _parts(split, box, double=double)
        case _:
            raise NoClosedFormError
    return [Painted(box, tuple(group for group in groups if group.count))]


def _summed(terms: Sequence[Program], box: Axes, *, double: bool) -> tuple[Group, ...]:
    """The groups of a sum in which at most one term is drawn, and one differs by element."""
    groups: tuple[Group, ...] = ()
    for number, term in enumerate(terms):
        painted = _paint(term, box, double=double)
        if len(painted) != 1:
            raise NoClosedFormError
        groups = _plus(groups, painted[0].groups) if number else painted[0].groups
    return groups


def _plus(some: tuple[Group, ...], others: tuple[Group, ...]) -> tuple[Group, ...]:
    if not (len(some) == 1 and all(group.law.atom is not None for group in others)):
        some, others = others, some
    if len(some) != 1 or any(group.law.atom is None for group in others):
        raise NoClosedFormError
    law = some[0].law
    return tuple(Group(g.count, law.transformed(Add(g.law.atom or 0.0))) for g in others)


def _copied(copy: Copy, total: int, *, double: bool) -> tuple[Group, ...]:
    """The groups of another tensor, or of a part of one whose elements have one law."""
    groups = population(copy.of, copy.shape, double=double)
    if not groups or (len(groups) > 1 and math.prod(copy.shape) != total):
        raise NoClosedFormError
    return groups if len(groups) > 1 else (replace(groups[0], count=total),)


def _parts(split: Split, box: Axes, *, double: bool) -> list[Painted]:
    if split.squeeze or split.count > MOST_BOXES:
        raise NoClosedFormError
    base = [] if split.base is None else _paint(split.base, box, double=double)
    painted: list[Painted] = []
    offset = 0
    for part in split.parts * split.repeat:
        along = box[split.axis][offset : offset + part.size]
        inside = (*box[: split.axis], along, *box[split.axis + 1 :])
        if isinstance(part.program.source, Base):
            kept = [_within(paint, inside) for paint in base]
            painted += _transformed(kept, part.program.transforms, inside, double=double)
        else:
            painted += _paint(part.program, inside, double=double)
        offset += part.size
    return painted


def _within(paint: Painted, box: Axes) -> Painted:
    """Return the part of a painted box that is inside `box`."""
    common = intersection(paint.box, box)
    if size(common) == size(paint.box):
        return paint
    if size(common) and len(paint.groups) > 1:  # which of them are inside is not known
        raise NoClosedFormError
    return Painted(common, tuple(Group(size(common), group.law) for group in paint.groups[:1]))


def _filled(transform: ZeroRows | SetElement | FillRegion, box: Axes, *, double: bool) -> Painted:
    """Return the box that a transform sets; indices count from the start of `box`."""
    value = 0.0 if isinstance(transform, ZeroRows) else transform.value
    match transform:
        case ZeroRows(rows=rows):
            placed: Box = (_rows(box[0], rows), *box[1:])
        case SetElement(index=index):
            placed = tuple(axis[i : i + 1] for axis, i in zip(box, index, strict=True))
        case FillRegion(region=region):
            placed = tuple(axis[slice(*part)] for axis, part in zip(box, region, strict=True))
    return Painted(placed, (Group(size(placed), Law.constant(value, double=double)),))


def _rows(axis: range, rows: tuple[int, ...]) -> Indices:
    return tuple(axis[row] for row in rows)
