"""Tensors whose values are too small for their dtype, which rounds them to zero."""

from __future__ import annotations

from collections.abc import Iterable

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics.expected import expected

Shape = tuple[int, ...]

_STDS = 2.0  # of the mean, within which most values lie: 95 % of normal ones


def vanishing(tensors: Iterable[PlanTensor]) -> dict[DType, list[str]]:
    """Return the names of tensors most of whose values are expected to round to zero, by dtype."""
    found: dict[DType, list[str]] = {}
    known: dict[tuple[int, Shape, DType], bool] = {}
    for tensor in tensors:
        dtype = tensor.dtype
        if not dtype.is_narrow or dtype.name == "float8_e8m0fnu":  # which has no zero
            continue
        key = (id(tensor.program), tensor.shape, dtype)
        if key not in known:
            known[key] = vanishes(tensor.program, tensor.shape, dtype)
        if known[key]:
            found.setdefault(dtype, []).append(tensor.name)
    return found


def vanishes(program: Program, shape: Shape, dtype: DType) -> bool:
    """Return whether most values, which are not zero themselves, round to zero in `dtype`."""
    law = expected(program, shape)
    if law.mean is None or law.std is None:
        return False
    most = abs(law.mean) + _STDS * law.std
    return 0 < most <= smallest(dtype) / 2


def smallest(dtype: DType) -> float:
    """Return the smallest positive number of a narrow dtype."""
    return dtype.limits.smallest_normal * dtype.limits.eps
