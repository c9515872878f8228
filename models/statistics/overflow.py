"""Tensors whose values are past what their dtype can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from seedpoint.models.draws import Draw, Normal
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Add,
    Constant,
    Copy,
    Dirac,
    Eye,
    FillRegion,
    HardThreshold,
    Materialized,
    Orthogonal,
    Program,
    Scale,
    SetElement,
    Source,
    Split,
    Sum,
    ZeroRows,
)
from seedpoint.models.statistics.distribution import Law
from seedpoint.models.statistics.expected import expected, orthogonal_std
from seedpoint.models.statistics.mixture import Shape, population

_LIKELY = 0.5
"""Elements expected to overflow from which on a tensor is told of: one, when rounded."""

_HUGE = 1e60
"""A std so far past float32 that all values overflow, and whose fourth power is still finite."""


def overflowing(tensors: Iterable[PlanTensor]) -> dict[DType, list[str]]:
    """The names of tensors that are expected to overflow, by the dtype whose limit they pass.

    It is float32 for the stream's draws in float64 tensors; none is float64.
    """
    found: dict[DType, list[str]] = {}
    counts: dict[tuple[int, Shape, DType], float] = {}
    for tensor in tensors:
        dtype = _narrowest(tensor)
        if not dtype.is_floating or dtype.name == "float64":
            continue
        key = (id(tensor.program), tensor.shape, dtype)
        if key not in counts:
            counts[key] = overflows(tensor.program, tensor.shape, dtype)
        if counts[key] > _LIKELY:
            found.setdefault(dtype, []).append(tensor.name)
    return found


def _narrowest(tensor: PlanTensor) -> DType:
    """The dtype through which a tensor's values go: the stream draws in float32."""
    drawn = tensor.dtype.name == "float64" and tensor.program.draws
    return BY_NAME["float32"] if drawn else tensor.dtype


def overflows(program: Program, shape: Shape, dtype: DType) -> float:
    """Return the number of elements that are expected to overflow a floating `dtype`.

    0 where there is no closed form, and where what is expected is itself not finite.
    """
    most = limit(dtype)
    if _reach(program) < most:
        return 0.0
    program = _independent(program, shape)
    if expected(program, shape).mean is None:
        return 0.0
    past = math.nextafter(most, math.inf)
    groups = population(program, shape, double=True)
    return sum(group.count * _share_beyond(group.law, past) for group in groups)


def _share_beyond(law: Law, value: float) -> float:
    """Return the probability of an element as far from 0 as `value`."""
    outside = law.beyond(value, upper=True) + law.beyond(-value, upper=False)
    return outside / law.mass


def _independent(program: Program, shape: Shape) -> Program:
    """`program` with normal values for orthogonal ones: each entry alone is nearly so."""
    match program.source:
        case Materialized(shown=shown):
            return _independent(shown, shape)
        case Orthogonal(gain=gain) as source if math.prod(shape):
            std = min(orthogonal_std(gain, source.matrix(shape)), _HUGE)
            return replace(program, source=Normal(0.0, std, f32=(std, 0.0)))
        case Split() as split:
            parts = tuple(
                replace(part, program=_independent(part.program, split.shape_of(part, shape)))
                for part in split.parts
            )
            base = None if split.base is None else _independent(split.base, shape)
            return replace(program, source=replace(split, parts=parts, base=base))
        case _:
            return program


def _reach(program: Program) -> float:
    """Upper bound of all values, which spares most tensors the closed form; infinity if unknown."""
    most = _source_reach(program.source)
    for transform in program.transforms:
        match transform:
            case Scale(value=value):
                most *= abs(value)
            case Add(value=value) | SetElement(value=value) | FillRegion(value=value):
                most += abs(value)
            case ZeroRows() | HardThreshold():
                pass
            case _:
                return math.inf
    return most


def _source_reach(source: Source) -> float:
    match source:
        case Materialized(shown=shown):
            return _reach(shown)
        case Draw():
            return source.reach
        case Orthogonal(gain=gain):
            return abs(gain)
        case Split(parts=parts, base=base):
            programs = [part.program for part in parts] + ([] if base is None else [base])
            return max(map(_reach, programs), default=0.0)
        case Sum(terms=terms):
            return sum(map(_reach, terms))
        case Copy(of=of):
            return _reach(of)
        case Constant(value=value) if not isinstance(value, complex):
            return abs(value)
        case Eye() | Dirac():
            return 1.0
        case _:
            return math.inf


@lru_cache(maxsize=16)
def limit(dtype: DType) -> float:
    """The last number that rounds to the largest value: less than half a step past it."""
    info = dtype.limits
    half_step = info.eps * 2.0 ** (math.frexp(info.max)[1] - 2)
    return math.nextafter(info.max + half_step, 0.0)
