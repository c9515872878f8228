"""Singular vectors: torch's power method, in one order of operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.stream import power_iteration
from seedpoint.models.stream.power_iteration import singular_vectors


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1), (1, 1), (40, 30)])
@pytest.mark.parametrize("iterations", [1, 16])
def test_they_are_those_of_torch_up_to_its_rounding(
    shape: tuple[int, int], iterations: int
) -> None:
    matrix, start = drawn(*shape), drawn(shape[1])
    layer = parametrizations.spectral_norm(nn.Linear(shape[1], shape[0]))
    norm = layer.parametrizations.weight[0]
    norm._v.copy_(nn.functional.normalize(torch.from_numpy(start), dim=0))
    norm._power_method(torch.from_numpy(matrix), iterations)
    left, right = singular_vectors(matrix, start, iterations, 1e-12)
    np.testing.assert_allclose(left, norm._u.numpy(), atol=1e-5)
    np.testing.assert_allclose(right, norm._v.numpy(), atol=1e-5)


def test_after_many_iterations_they_are_the_first_singular_vectors() -> None:
    matrix = drawn(6, 4)
    left, right = singular_vectors(matrix, drawn(4), 2000, 1e-12)
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    assert left @ matrix @ right == pytest.approx(values[0])


def test_a_chunk_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, start = drawn(30, 20), drawn(20)
    whole = singular_vectors(matrix, start, 5, 1e-12)
    monkeypatch.setattr(power_iteration, "CHUNK_ELEMENTS", 50)
    parts = singular_vectors(matrix, start, 5, 1e-12)
    assert all(map(np.array_equal, whole, parts))


def test_the_bits_are_those_of_plain_loops() -> None:
    matrix, start = drawn(7, 90), drawn(90)
    rows = [[float(value) for value in row] for row in matrix]

    def total(terms: list[float]) -> float:
        added = terms[0]
        for term in terms[1:]:
            added += term
        return added

    def normalized(vector: list[float]) -> list[float]:
        norm = math.sqrt(total([value * value for value in vector]))
        return [value / norm for value in vector]

    right, left = normalized([float(value) for value in start]), []
    for _ in range(3):
        left = normalized([total([a * b for a, b in zip(row, right, strict=True)]) for row in rows])
        columns = zip(*rows, strict=True)
        right = normalized([total([a * b for a, b in zip(c, left, strict=True)]) for c in columns])
    found = singular_vectors(matrix, start, 3, 1e-12)
    assert found[0].tolist() == left
    assert found[1].tolist() == right


def test_a_matrix_of_zeros_gives_zeros() -> None:
    left, right = singular_vectors(np.zeros((2, 3), np.float32), drawn(3), 2, 1e-12)
    assert not left.any()
    assert not right.any()
