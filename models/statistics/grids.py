"""The values that narrow floating dtypes can hold, and what rounds to each."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from seedpoint.models.dtypes import DType
from seedpoint.models.stream import float4, reference
from seedpoint.models.stream.float4 import FLOAT4

Floats = NDArray[np.float64]


def converted(value: float, dtype: DType) -> float:
    """`value` converted to `dtype` as a tensor's values are; NaN where that is not finite."""
    wide = torch.float64 if dtype.itemsize == 8 else torch.float32
    kept = torch.tensor([value] * dtype.per_item, dtype=wide)
    if dtype.is_narrow:
        kept = numbers(reference.convert(kept, dtype.name), dtype)
    number = float(kept[0])
    return number if math.isfinite(number) else math.nan


def numbers(patterns: torch.Tensor, dtype: DType) -> torch.Tensor:
    """Return the numbers with the given bit patterns in a narrow dtype, exactly, as float32."""
    if dtype.name == FLOAT4:
        return torch.from_numpy(float4.numbers(patterns.numpy()))
    return patterns.view(dtype.torch).to(torch.float32)


def rounding_grid(dtype: DType, low: float, high: float, finest: float) -> tuple[Floats, Floats]:
    """The values of a dtype of 4, 8 or 16 bits that numbers in [low, high] round to.

    Ascending, with the bounds between them, one fewer. At an end is what overflows: NaN, or
    the largest value where the dtype saturates. Of values smaller than `finest` only zero is there.
    """
    steps = _steps(dtype)
    steps = steps[(np.abs(steps) >= finest) | (steps == 0)]
    first = max(int(np.searchsorted(steps, low)) - 1, 0)
    steps = steps[first : int(np.searchsorted(steps, high)) + 1]
    largest, beyond = _steps(dtype)[-2:]
    overflow = np.copysign(converted(float(beyond), dtype), steps)
    values = np.where(np.abs(steps) > largest, overflow, steps)
    return values, (steps[:-1] + steps[1:]) / 2


@lru_cache(maxsize=16)
def _steps(dtype: DType) -> Floats:
    """All finite values, and beyond each end the one that would come next."""
    bits = torch.arange(1 << (8 * dtype.itemsize), dtype=torch.int32)
    raw = bits.to(torch.uint8 if dtype.itemsize == 1 else torch.int16)
    every = numbers(raw, dtype).to(torch.float64).numpy()
    values = np.unique(every[np.isfinite(every)] + 0.0)
    beyond = values[-1] + (values[-1] - values[-2])
    return np.concatenate([[-beyond], values, [beyond]])
