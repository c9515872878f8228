"""Singular vectors by power iteration, in one order of operations everywhere.

Products are sums in binary64, one element after the other in index order, with one rounding for
each product and sum. A vector is divided by its Euclidean norm, or by `eps` if that is larger. The
bits therefore depend on no library, device or number of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

# elements of the matrix multiplied at a time
CHUNK_ELEMENTS = 1 << 20


def singular_vectors(
    matrix: Matrix, start: npt.NDArray[np.float32], iterations: int, eps: float
) -> tuple[Vector, Vector]:
    """Return the left and right vector after `iterations` of the power method.

    `matrix` is not empty; `start` is the first right vector, of any length.
    """
    right = _normalized(start.astype(np.float64), eps)
    left = np.empty(0)
    for _ in range(iterations):
        left = _normalized(_times(matrix, right), eps)
        right = _normalized(_transposed_times(matrix, left), eps)
    return left, right


def _normalized(vector: Vector, eps: float) -> Vector:
    norm = np.sqrt(np.add.accumulate(vector * vector)[-1])
    divided: Vector = vector / max(norm, eps)
    return divided


def _times(matrix: Matrix, vector: Vector) -> Vector:
    """Return `matrix @ vector`."""
    found = np.empty(len(matrix))
    step = max(1, CHUNK_ELEMENTS // matrix.shape[1])
    for first in range(0, len(matrix), step):
        products = matrix[first : first + step].astype(np.float64) * vector
        # `accumulate` is defined as a loop; `sum` would pair terms.
        found[first : first + step] = np.add.accumulate(products, axis=1)[:, -1]
    return found


def _transposed_times(matrix: Matrix, vector: Vector) -> Vector:
    """Return `matrix.T @ vector`."""
    total = np.zeros(matrix.shape[1])
    step = max(1, CHUNK_ELEMENTS // matrix.shape[1])
    for first in range(0, len(matrix), step):
        rows = matrix[first : first + step].astype(np.float64)
        products = rows * vector[first : first + step, None]
        total = np.add.accumulate(np.concatenate([total[None, :], products]), axis=0)[-1]
    return total
