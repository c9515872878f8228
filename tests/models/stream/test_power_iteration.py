"""Singular vectors: torch's power method, in one order of operations."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.stream import power_iteration, reference
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.power_iteration import singular_vectors
from tests.models.stream import exact_power
from tests.support.places import GOLDEN

CASES = json.loads((GOLDEN / "singular_vectors.json").read_text())


def inputs(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the first right vector of a golden."""
    if "matrix" in case:
        return np.array(case["matrix"], np.float32), np.array(case["start"], np.float32)
    rows, columns = case["shape"]
    key = derive_key(case["seed"], case["name"])
    matrix = reference.normal(key, 0, 0, rows * columns, (1.0, 0.0)).numpy()
    return matrix.reshape(rows, columns), reference.normal(key, 1, 0, columns, (1.0, 0.0)).numpy()


def bits(vector: Sequence[float] | np.ndarray) -> list[str]:
    single = np.asarray(vector, np.float64).astype(np.float32)
    return [f"{pattern:08x}" for pattern in single.view(np.uint32).tolist()]


def case_id(case: dict[str, Any]) -> str:
    shape = np.shape(case["matrix"]) if "matrix" in case else case["shape"]
    return f"{'x'.join(map(str, shape))}-{case['iterations']}"


@pytest.mark.parametrize("case", [*CASES["given"], *CASES["drawn"]], ids=case_id)
def test_every_known_answer_comes_out_bit_for_bit(case: dict[str, Any]) -> None:
    matrix, start = inputs(case)
    left, right = singular_vectors(matrix, start, case["iterations"], case["eps"])
    assert (bits(left), bits(right)) == (case["left"], case["right"])


@pytest.mark.parametrize("case", [*CASES["given"], *CASES["drawn"]], ids=case_id)
def test_the_known_answers_are_those_of_rational_numbers(case: dict[str, Any]) -> None:
    matrix, start = inputs(case)
    found = exact_power.singular_vectors(
        matrix.tolist(), start.tolist(), case["iterations"], case["eps"]
    )
    left, right = ([exact_power.single_bits(value) for value in vector] for vector in found)
    assert (left, right) == (case["left"], case["right"])


@pytest.mark.parametrize(
    "case", CASES["issued"], ids=lambda case: case["spec"]["architecture"]["type"]
)
def test_the_vectors_of_a_checkpoint_are_known_bit_for_bit(case: dict[str, Any]) -> None:
    planned = make_plan(parse_spec(case["spec"]))
    evaluator = Evaluator(planned.plan, planned.blobs)
    for side, name in (("left", "_u"), ("right", "_v")):
        (index,) = (n for n, each in enumerate(planned.plan.tensors) if each.name.endswith(name))
        out = np.empty(planned.plan.tensors[index].nbytes, np.uint8)
        evaluator.fill(index, 0, planned.plan.tensors[index].numel, out)
        assert [f"{pattern:08x}" for pattern in out.view(np.uint32).tolist()] == case[side]


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
