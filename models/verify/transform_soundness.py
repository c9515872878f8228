"""Checks of the transforms of an untrusted plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from seedpoint.models.plan.program import (
    Add,
    Clamp,
    ClampRegion,
    Divide,
    FillRegion,
    Function,
    HardThreshold,
    Plus,
    Pointwise,
    Scale,
    SetElement,
    ZeroRows,
)
from seedpoint.models.verify.header import shown
from seedpoint.models.verify.requirements import (
    MAX_NESTED,
    MAX_STEP,
    is_index,
    is_number,
    require,
    require_value,
)

Shape = tuple[int, ...]


def check_transform(transform: Any, shape: Shape, dtype: torch.dtype) -> None:
    """Check that `transform` can be applied to a tensor of `shape`, computed in `dtype`.

    Raises:
        ValueError: It cannot.
    """
    _Check(shape, dtype).check(transform)


class _Check:
    """Checker of transforms of one tensor."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        self._shape = shape
        self._dtype = dtype

    def check(self, transform: Any, depth: int = 0) -> None:
        match transform:
            case Scale(value=value) | Add(value=value) | HardThreshold(value=value):
                self._arithmetic(transform.type, value)
            case Divide(value=value):
                self._arithmetic("divide", value)
            case _ if isinstance(transform, Function):
                self._arithmetic(transform.type)
            case Plus(transforms=inner):
                require(depth < MAX_NESTED, "transforms nest too deep")
                for each in inner:
                    require(
                        isinstance(each, Pointwise), f"{shown(each)} does not act on one element"
                    )
                    self.check(each, depth + 1)
            case Clamp(min=low, max=high):
                bounds = [bound for bound in (low, high) if bound is not None]
                require(bool(bounds), "clamp has no bound")
                self._arithmetic("clamp", *bounds)
            case ZeroRows(rows=rows):
                require(
                    bool(self._shape)
                    and isinstance(rows, tuple)
                    and _are_ascending(rows, self._shape[0]),
                    f"{shown(rows)} are not rows of shape {shown(self._shape)}",
                )
            case SetElement(index=index, value=value):
                self._set(value)
                require(
                    isinstance(index, tuple)
                    and len(index) == len(self._shape)
                    and all(map(is_index, index, self._shape)),
                    f"{shown(index)} is not an element of shape {shown(self._shape)}",
                )
            case FillRegion(region=region, value=value):
                self._set(value)
                self._region(region)
            case ClampRegion(region=region, min=low, max=high):
                self.check(Clamp(low, high))
                self._region(region)
            case _:
                raise ValueError(f"{shown(transform)} is not a transform")

    def _region(self, region: Any) -> None:
        require(
            isinstance(region, tuple)
            and len(region) == len(self._shape)
            and all(map(_is_stretch, region, self._shape)),
            f"{shown(region)} is not a region of shape {shown(self._shape)}",
        )

    def _arithmetic(self, kind: str, *values: Any) -> None:
        require(self._dtype.is_floating_point, f"{kind} needs a floating tensor")
        require(all(map(is_number, values)), f"{shown(values)} are not arguments of {kind}")

    def _set(self, value: Any) -> None:
        require_value(value, self._dtype, lambda probe: probe.__setitem__(slice(0, 1), value))


def _are_ascending(rows: Sequence[Any], size: int) -> bool:
    """Return whether `rows` are distinct integers in [0, size), in ascending order."""
    if not all(is_index(row, size) for row in rows):
        return False
    return all(rows[i] < rows[i + 1] for i in range(len(rows) - 1))


def _is_stretch(stretch: Any, size: int) -> bool:
    """Return whether `stretch` is (start, stop, step) within [0, size]."""
    if not isinstance(stretch, tuple) or len(stretch) != 3:
        return False
    start, stop, step = stretch
    return (
        is_index(start, size + 1)
        and is_index(stop, size + 1)
        and start <= stop
        and type(step) is int
        and 1 <= step <= MAX_STEP
    )
