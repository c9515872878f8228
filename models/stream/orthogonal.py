"""Source `orthogonal`: any element of it needs the whole tensor.

The bits depend on neither `each` nor the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seedpoint.models.stream import cpu, qr
from seedpoint.models.stream.cpu import Key
from seedpoint.models.stream.parallel import BLOCK_ELEMENTS, Each, serial

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cost:
    """Resources of a tensor's computation: bytes of memory and floating point operations."""

    nbytes: int
    operations: int


def orthogonal_cost(shape: tuple[int, ...]) -> Cost:
    """Return the cost of `orthogonal` in exact integers, so that a plan can refuse it in advance.

    A core does about 4e10 operations a second with 256-bit vectors, 1.5e10 with 128-bit ones.
    """
    rows = shape[0]
    columns = math.prod(shape[1:])
    m, n = max(rows, columns), min(rows, columns)
    if n == 0:
        return Cost(0, 0)
    tiles = -(-n // qr.WIDTH)
    nbytes = 4 * m * n + 8 * m * qr.WIDTH * (tiles + 1) + 8 * tiles * qr.WIDTH**2
    return Cost(nbytes, 4 * n * n * m - 4 * n**3 // 3)


def orthogonal(
    key: Key, draw: int, shape: tuple[int, ...], gain: float, *, each: Each = serial
) -> Floats:
    """Return a (semi-)orthogonal matrix, shape[0] x the rest, times `gain`; float32 of `shape`.

    The steps: standard normal values in binary64, transposed if rows < columns; Q of their QR
    decomposition (`models.stream.qr`), with each column negated where R's diagonal is negative (a
    zero counts as positive: Q stays orthonormal, where `torch.nn.init.orthogonal_` would produce a
    column of zeros); transposed back; times `gain` in binary64; rounded once.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks" (2013); the signs: Mezzadri, "How to generate random matrices from the classical
    compact groups" (2006).
    """
    assert len(shape) >= 2
    out = np.empty(shape, np.float32)
    if not out.size:
        return out
    _normal(out.reshape(-1), key, draw, 1.0, each)
    matrix = out.reshape(shape[0], -1)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    columns = tall.shape[1]
    tiles = qr.empty(*tall.shape)

    def widen(number: int) -> None:
        part = tall[:, number * qr.WIDTH : (number + 1) * qr.WIDTH]
        tiles[number, :, : part.shape[1]] = part
        tiles[number, :, part.shape[1] :] = 0.0

    each(widen, range(len(tiles)))
    diagonal = qr.decompose(tiles, columns, each)
    factors = np.where(diagonal < 0.0, -float(gain), float(gain))

    def narrow(number: int) -> None:
        some = slice(number * qr.WIDTH, min((number + 1) * qr.WIDTH, columns))
        with np.errstate(over="ignore"):
            tall[:, some] = tiles[number, :, : some.stop - some.start] * factors[some]

    each(narrow, range(len(tiles)))
    return out


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache, so that no later call has to wait."""
    orthogonal((0, 0), 0, (2, 1), 1.0)


def _normal(flat: Floats, key: Key, draw: int, std: float, each: Each) -> None:
    def fill(number: int) -> None:
        start = number * BLOCK_ELEMENTS
        cpu.fill("normal", flat[start : start + BLOCK_ELEMENTS], key, draw, start, (std, 0.0))

    each(fill, range(-(-flat.size // BLOCK_ELEMENTS)))
