"""Tensors whose values are past what their dtype can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch

from models.dtypes import DType
from models.plan import PlanTensor
from models.program import (
    Add,
    FillRegion,
    HardThreshold,
    Materialized,
    Normal,
    Program,
    Scale,
    SetElement,
    Source,
    TruncNormal,
    Uniform,
    ZeroRows,
)
from models.statistics.expected import expected
from models.statistics.population import Shape, population

_LIKELY = 0.5
"""Elements expected to overflow from which on a tensor is told of: one, when rounded."""


def overflowing(tensors: Iterable[PlanTensor]) -> dict[DType, list[str]]:
    """The names of tensors that are expected to overflow, by dtype; none is of float64."""
    found: dict[DType, list[str]] = {}
    counts: dict[tuple[int, Shape, DType], float] = {}
    for tensor in tensors:
        if not tensor.dtype.is_floating or tensor.dtype.name == "float64":
            continue
        key = (id(tensor.program), tensor.shape, tensor.dtype)
        if key not in counts:
            counts[key] = overflows(tensor.program, tensor.shape, tensor.dtype)
        if counts[key] > _LIKELY:
            found.setdefault(tensor.dtype, []).append(tensor.name)
    return found


def overflows(program: Program, shape: Shape, dtype: DType) -> float:
    """How many elements of a tensor of a floating `dtype` are expected to overflow it.

    0 where there is no closed form, and where what is expected is itself not finite.
    """
    limit = _limit(dtype)
    if _reach(program) < limit or expected(program, shape).mean is None:
        return 0.0
    inside = np.array([-limit, limit])
    groups = population(program, shape, double=True)
    return sum(group.count * (1.0 - float(group.law.shares(inside)[0])) for group in groups)


def _reach(program: Program) -> float:
    """What no value is larger than, to spare most tensors the closed form; infinity if unknown."""
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
        case Uniform(low=low, high=high):
            return max(abs(low), abs(high))
        case TruncNormal(a=a, b=b):
            return max(abs(a), abs(b))
        case Normal(mean=mean, std=std):
            return abs(mean) + 9 * std  # Beyond with probability 2e-19.
        case _:
            return math.inf


@lru_cache(maxsize=16)
def _limit(dtype: DType) -> float:
    """The last number that rounds to the largest value: less than half a step past it."""
    info = torch.finfo(dtype.torch)
    half_step = info.eps * 2.0 ** (math.frexp(info.max)[1] - 2)
    return math.nextafter(info.max + half_step, 0.0)
