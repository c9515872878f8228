"""Kernels that a program's evaluation on the CPU calls, so that no others are compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from seedpoint.models.draws import DRAWS, Draw
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.plan.program import Materialized, Orthogonal, Program, Sparse
from seedpoint.models.stream import cpu, orthogonal, rounding, sparse

FLOAT32 = BY_NAME["float32"]


def used_kernels(program: Program, dtype: DType) -> frozenset[str]:
    """Return the kernels for a tensor of `dtype`, by names that `compile_kernel` takes."""
    if isinstance(program.source, Draw) and not program.transforms and _takes(dtype):
        return frozenset({f"{program.source.type} {dtype.name}"})
    convert = {f"convert {dtype.name}"} if dtype.is_narrow else set()
    return frozenset({*_sources(program), *convert})


def compile_kernel(name: str) -> None:
    """Compile one of the kernels of `used_kernels`, or load it from Numba's cache.

    Raises:
        KeyError: No kernel has the name.
    """
    if name in _WHOLE:
        _WHOLE[name]()
        return
    kind, _, dtype = name.partition(" ")
    if kind == "convert":
        cpu.convert(np.empty(0, np.float32), np.empty(0, np.uint8), dtype)
        return
    array = np.dtype(np.float32) if dtype == "float32" else rounding.ARRAYS[dtype]
    cpu.fill(kind, np.empty(0, array), (0, 0), 0, 0, (1,) * DRAWS[kind].constants)


_WHOLE = {"orthogonal": orthogonal.warm_up, "sparse": sparse.warm_up}


def _takes(dtype: DType) -> bool:
    """Return whether a draw's kernel writes this dtype itself."""
    return dtype is FLOAT32 or dtype.name in rounding.ARRAYS


def _sources(value: Any) -> Iterator[str]:
    """Yield the kernels of every source inside a program, all in float32."""
    if isinstance(value, Draw):
        yield f"{value.type} float32"
    elif isinstance(value, Orthogonal | Sparse):
        yield value.type
    elif isinstance(value, tuple):
        for item in value:
            yield from _sources(item)
    elif is_dataclass(value) and not isinstance(value, Materialized):
        for item in fields(value):
            yield from _sources(getattr(value, item.name))
