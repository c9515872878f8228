"""Application of transforms to a range of a tensor's values, in place."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from seedpoint.models.formulas import pointwise
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    ClampRegion,
    Divide,
    Exp,
    Expm1,
    FillRegion,
    Function,
    HardThreshold,
    Log,
    Plus,
    Reciprocal,
    Scale,
    SetElement,
    Softplus,
    Sqrt,
    Transform,
    ZeroRows,
)

Shape = tuple[int, ...]
Functions = Mapping[type[Function], Callable[[torch.Tensor], torch.Tensor]]

EXACT: Functions = {
    Exp: pointwise.exp,
    Expm1: pointwise.expm1,
    Log: pointwise.log,
    Reciprocal: torch.reciprocal,
    Sqrt: pointwise.sqrt,
    Softplus: pointwise.softplus,
}
"""The stream's functions, with the same bits everywhere."""

TORCH: Functions = {
    Exp: torch.exp,
    Expm1: torch.expm1,
    Log: torch.log,
    Reciprocal: torch.reciprocal,
    Sqrt: torch.sqrt,
    Softplus: torch.nn.functional.softplus,
}
"""PyTorch's own functions, as a script calls them."""


def apply(
    transforms: Sequence[Transform],
    values: torch.Tensor,
    start: int,
    shape: Shape,
    functions: Functions = EXACT,
) -> None:
    """Apply `transforms` to elements [start, start + len(values)) of a tensor of `shape`.

    `values` is one-dimensional, of any dtype. Each operation is rounded once to that dtype, and
    constants are rounded to it first.
    """
    for transform in transforms:
        match transform:
            case Scale(value=value):
                values.mul_(_rounded(value, values))
            case Add(value=value):
                values.add_(_rounded(value, values))
            case Divide(value=value):
                values.div_(_rounded(value, values))
            case Exp() | Expm1() | Log() | Reciprocal() | Sqrt() | Softplus():
                values.copy_(functions[type(transform)](values))
            case Plus(transforms=inner):
                other = values.clone()
                apply(inner, other, start, shape, functions)
                values.add_(other)
            case Clamp(min=low, max=high):
                values.clamp_(
                    None if low is None else _rounded(low, values).item(),
                    None if high is None else _rounded(high, values).item(),
                )
            case HardThreshold(value=value):
                values.mul_((values.abs() >= _rounded(value, values)).to(values.dtype))
            case _:
                _in_places(transform, values, start, shape)


def _in_places(
    transform: ZeroRows | SetElement | FillRegion | ClampRegion,
    values: torch.Tensor,
    start: int,
    shape: Shape,
) -> None:
    """Apply a transform of some elements, chosen by their indices."""
    runs = _runs(transform, start, start + len(values), shape)
    if isinstance(transform, ClampRegion):
        clamp = Clamp(transform.min, transform.max)
        for first, last, step in runs:
            apply((clamp,), values[first - start : last - start : step], first, shape)
        return
    fill: Any = 0 if isinstance(transform, ZeroRows) else transform.value
    if values.is_floating_point():
        fill = _rounded(fill, values)
    for first, last, step in runs:
        values[first - start : last - start : step] = fill


def _rounded(value: float, like: torch.Tensor) -> torch.Tensor:
    """Return `value`, rounded once to the dtype of `like`, as a tensor without dimensions."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def _runs(
    transform: ZeroRows | SetElement | FillRegion | ClampRegion,
    start: int,
    stop: int,
    shape: Shape,
) -> Iterator[tuple[int, int, int]]:
    """Yield the flat (first, last, step) runs within [start, stop) that a transform changes."""
    match transform:
        case SetElement(index=index):
            strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
            at = sum(i * stride for i, stride in zip(index, strides, strict=True))
            if start <= at < stop:
                yield at, at + 1, 1
        case ZeroRows(rows=rows):
            yield from _row_runs(rows, math.prod(shape[1:]), start, stop)
        case FillRegion(region=region) | ClampRegion(region=region):
            yield from _box_runs(region, shape, 0, start, stop)


def _row_runs(
    rows: Sequence[int], row_elements: int, start: int, stop: int
) -> Iterator[tuple[int, int, int]]:
    if start >= stop:
        return
    for place in range(bisect_left(rows, start // row_elements), len(rows)):
        first, last = max(start, rows[place] * row_elements), (rows[place] + 1) * row_elements
        if first >= stop:
            return
        yield first, min(stop, last), 1


def _box_runs(
    region: Sequence[tuple[int, int, int]], shape: Shape, base: int, start: int, stop: int
) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of a box; `base` is the flat offset of the axes already fixed."""
    whole = [box == (0, size, 1) for box, size in zip(region, shape, strict=True)]
    if all(whole):
        first, last = max(start, base), min(stop, base + math.prod(shape))
        if first < last:
            yield first, last, 1
        return
    inner = math.prod(shape[1:])
    low, high, step = region[0]
    if not len(shape[1:]):
        skipped = max(0, -(-(start - base - low) // step)) * step
        first, last = base + low + skipped, min(stop, base + high)
        if first < last:
            yield first, last, step
        return
    skipped = max(0, (start - base) // inner - low)
    for index in range(low + -(-skipped // step) * step if skipped else low, high, step):
        if base + index * inner >= stop:
            return
        yield from _box_runs(region[1:], shape[1:], base + index * inner, start, stop)
