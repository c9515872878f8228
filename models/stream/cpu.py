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
from seedpoint.models.stream import kernels, rounding, runs

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
    out: npt.NDArray[np.float32],
    width: int,
    key: Key,
    draw: int,
    start: int,
    step: int,
    f32: Sequence[float],
) -> None:
    """Fill the first `width` columns of `out` with runs of a draw of `kind`.

    Row r takes elements [start + r * step, start + r * step + width). `out` is a contiguous matrix.

    Raises:
        ValueError: As for `words`, or `width` is wider than `out`.
    """
    if out.ndim != 2 or not 0 <= width <= out.shape[1] or step < 0:
        raise ValueError(f"runs of {width} elements, {step} apart, do not fit {list(out.shape)}")
    flat = out.view()
    flat.shape = (out.size,)  # refuses a matrix that is not contiguous
    for first in (start, start + len(out) * step):
        _check(flat, (np.dtype(np.float32),), draw, first)
    runs.DRAWS[kind](out, width, key, draw, start, step, tuple(map(float, f32)))


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
    for kind, cls in DRAWS.items():
        rows = np.empty((0, 0), np.float32)
        fill_runs(kind, rows, 0, (0, 0), 0, 0, 0, (1,) * cls.constants)


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
