"""Source `sparse`: any range needs one pass over the columns that it touches, for their cuts.

The bits depend on neither `each` nor the machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seedpoint.models.stream import cpu, cuts
from seedpoint.models.stream.cpu import Key
from seedpoint.models.stream.parallel import BLOCK_ELEMENTS, Each, serial

Floats = npt.NDArray[np.float32]


def sparse(
    key: Key,
    draw: int,
    shape: tuple[int, int],
    sparsity: float,
    std: float,
    *,
    each: Each = serial,
) -> Floats:
    """Return normal values of `draw`, with ceil(sparsity * rows) zeros per column from `draw + 1`.

    float32 of `shape`. Martens, "Deep learning via Hessian-free optimization" (2010).
    """
    rows, columns = shape
    out = np.empty(shape, np.float32)
    if not out.size:
        return out
    flat = out.reshape(-1)
    zeros = cuts.zeros_per_column(rows, sparsity)
    found = cuts.find_cuts(key, draw + 1, shape, zeros, each=each)

    def fill(number: int) -> None:
        start = number * BLOCK_ELEMENTS
        sparse_range(flat[start : start + BLOCK_ELEMENTS], key, draw, start, columns, std, found)

    each(fill, range(-(-flat.size // BLOCK_ELEMENTS)))
    return out


def sparse_range(
    out: Floats, key: Key, draw: int, start: int, columns: int, std: float, found: cuts.Cuts
) -> None:
    """Fill `out` with elements [start, start + len(out)) of `sparse`, from its columns' cuts."""
    cpu.fill("normal", out, key, draw, start, (std, 0.0))
    cuts.erase(out, key, draw + 1, start, columns, found)


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache, so that no later call has to wait."""
    sparse((0, 0), 0, (2, 1), 0.5, 1.0)
