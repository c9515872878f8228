"""Numba kernels that fill runs of a draw: rows of equal length at equal distances.

A call for each run would take longer than its elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seedpoint.models.stream import kernels
from seedpoint.models.stream.jit import kernel

Rows = npt.NDArray[np.float32]
Key = tuple[int, int]


@kernel
def uniform(
    out: Rows, width: int, key: Key, draw: int, start: int, step: int, f32: tuple[float, float]
) -> None:
    for row in range(out.shape[0]):
        kernels.uniform(out[row, :width], key, draw, start + row * step, f32)


@kernel
def normal(
    out: Rows, width: int, key: Key, draw: int, start: int, step: int, f32: tuple[float, float]
) -> None:
    for row in range(out.shape[0]):
        kernels.normal(out[row, :width], key, draw, start + row * step, f32)


@kernel
def trunc_normal(
    out: Rows, width: int, key: Key, draw: int, start: int, step: int, f32: tuple[float, ...]
) -> None:
    for row in range(out.shape[0]):
        kernels.trunc_normal(out[row, :width], key, draw, start + row * step, f32)


@kernel
def log_uniform(
    out: Rows, width: int, key: Key, draw: int, start: int, step: int, f32: tuple[float, ...]
) -> None:
    for row in range(out.shape[0]):
        kernels.log_uniform(out[row, :width], key, draw, start + row * step, f32)


DRAWS: dict[str, Any] = {
    "uniform": uniform,
    "normal": normal,
    "trunc_normal": trunc_normal,
    "log_uniform": log_uniform,
}
"""Kernels by the draw's name; each fills the first `width` columns of `out`.

Row r takes the elements from `start + r * step` on.
"""
