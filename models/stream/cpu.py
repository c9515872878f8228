"""Stream on the CPU: one call fills one contiguous range on the calling thread.

Calls release the GIL, so threads of a caller run in parallel. The division of a range into calls
cannot change a bit. A call of 65536 elements is as fast per element as a larger one, and its output
stays in cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seedpoint.models.draws import DRAWS
from seedpoint.models.stream import kernels, rounding, run_kernels

Key = tuple[int, int]
Values = npt.NDArray[Any]


def words(out: npt.NDArray[np.uint32], key: Key, draw: int, start: int) -> None:
    """Fill `out` (uint32) with word(i) for i in [start, start + len(out)).

    Raises:
        ValueError: `out` cannot be filled in place, or a number is out of range.
    """
    _check(out, (np.dtype(np.uint32),), draw, start)
    kernels.words(out, key, draw, start)


def fill(kind: str, out: Values, key: Key, draw: int, start: int, f32: Sequence[float]) -> None:
    """Fill `out` with elements [start, start + len(out)) of a draw of `kind` (`draws.DRAWS`).

    `f32` are its constants. `out` is a contiguous vector of float32, or of the bit patterns of the
    narrow dtype that its array type stands for (`rounding.ARRAYS`): the float32 values, converted.

    Raises:
        ValueError: As for `words`.
    """
    _check(out, VALUES, draw, start)
    kernels.DRAWS[kind](out, key, draw, start, tuple(map(float, f32)))


def fill_runs(
    kind: str,
    out: Values,
    key: Key,
    draw: int,
    starts: npt.NDArray[np.int64],
    run: int,
    f32: Sequence[float],
) -> None:
    """Fill `out` with `run` elements from each of `starts` on, one run after another.

    It takes about 5 ns a run more than `fill` of as many elements. `out` is float32 or holds
    patterns of bfloat16 (`RUN_VALUES`); kernels of other dtypes would take long to compile.

    Raises:
        ValueError: As for `fill`, or `out` does not hold exactly the runs.
    """
    _check(out, RUN_VALUES, draw, 0)
    if run < 1 or len(out) != run * len(starts):
        raise ValueError(f"{len(starts)} runs of {run} elements do not fill {len(out)}")
    if starts.dtype != np.int64 or starts.ndim != 1 or not starts.flags.carray:
        raise ValueError("starts must be a contiguous, aligned vector of int64")
    if len(starts) and not 0 <= starts.min() <= starts.max() <= 2**63 - 1 - run:
        raise ValueError("each start must be in [0, 2^63 - run)")
    constants = (*map(float, f32), *[0.0] * run_kernels.CONSTANTS)[: run_kernels.CONSTANTS]
    run_kernels.fill(run_kernels.KINDS[kind], out, key, draw, starts, run, constants)


def convert(values: npt.NDArray[np.float32], out: npt.NDArray[np.uint8], dtype: str) -> None:
    """Write `values`, converted to a narrow dtype given by PyTorch's name, to `out` as bytes.

    Both arrays are contiguous and aligned.

    Raises:
        ValueError: `out` has another size than the converted values.
    """
    if 8 * out.nbytes != len(values) * rounding.bits(dtype):
        raise ValueError(f"{len(values)} elements of {dtype} are not {out.nbytes} bytes")
    rounding.convert(values, out, dtype)


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache, so that no later call has to wait."""
    rounding.warm_up()
    words(np.empty(0, np.uint32), (0, 0), 0, 0)
    for dtype in VALUES:
        out: Any = np.empty(0, dtype)
        for kind, cls in DRAWS.items():
            fill(kind, out, (0, 0), 0, 0, (1,) * cls.constants)
    for dtype in RUN_VALUES:
        runs: tuple[Any, Any] = np.empty(0, dtype), np.empty(0, np.int64)
        fill_runs("normal", runs[0], (0, 0), 0, runs[1], 1, (1, 0))


RUN_VALUES = (np.dtype(np.float32), rounding.ARRAYS["bfloat16"])
VALUES = (np.dtype(np.float32), *rounding.ARRAYS.values())


def _check(out: npt.NDArray[Any], dtypes: tuple[np.dtype[Any], ...], draw: int, start: int) -> None:
    if out.dtype not in dtypes or out.ndim != 1 or not out.flags.carray:
        raise ValueError(
            f"out must be a writable, contiguous, aligned vector of {' or '.join(map(str, dtypes))}"
        )
    if not 0 <= draw < 2**32:
        raise ValueError(f"draw must be in [0, 2^32), not {draw}")
    if not 0 <= start <= 2**63 - 1 - out.size:
        raise ValueError(f"start must be in [0, 2^63 - len(out)), not {start}")
