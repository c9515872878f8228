"""Source `orthogonal`: against its definition, PyTorch, and known answers."""

from __future__ import annotations

import hashlib
import json
import math
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seedpoint.models.stream import orthogonal, qr, reference
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.parallel import helped
from tests.models.stream.whole_goldens import case_id, shown
from tests.support.generic_cpu import on_generic_cpu
from tests.support.places import GOLDEN

ORTHOGONAL = json.loads((GOLDEN / "orthogonal.json").read_text())["cases"]
KEY = derive_key(7, "layers.0.weight")

Floats = npt.NDArray[np.float32]

SHAPES = [
    *((1, 1), (1, 9), (9, 1), (5, 3), (3, 5), (33, 33), (64, 200), (200, 64)),
    *((8, 4, 3, 3), (6, 10, 7), (2, 3, 4, 5, 6), (1000, 20), (20, 1000)),
]


def run_orthogonal(case: dict[str, Any]) -> Floats:
    key = derive_key(case["seed"], case["name"])
    return orthogonal.orthogonal(key, case["draw"], tuple(case["shape"]), case["gain"])


def goldens() -> str:
    """One digest of every golden, computed here and now."""
    together = [shown(run_orthogonal(case)) for case in ORTHOGONAL]
    return hashlib.sha256(json.dumps(together).encode()).hexdigest()


@pytest.mark.parametrize("case", ORTHOGONAL, ids=case_id)
def test_every_known_orthogonal_comes_out_bit_for_bit(case: dict[str, Any]) -> None:
    assert shown(run_orthogonal(case)) == (case["sha256"], case["first"])


def test_the_bits_are_those_of_a_cpu_without_wide_vectors(tmp_path: Path) -> None:
    assert on_generic_cpu(__name__, "goldens()", tmp_path) == goldens()


def normals(shape: tuple[int, ...], draw: int = 0) -> torch.Tensor:
    return reference.normal(KEY, draw, 0, math.prod(shape), (1.0, 0.0)).reshape(shape)


def by_lapack(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], gain: float
) -> npt.NDArray[np.float64]:
    """`torch.nn.init.orthogonal_` in float64, of the stream's normal values."""
    given_values = normals(shape).double()
    with monkeypatch.context() as patch:
        patch.setattr(
            torch.Tensor,
            "normal_",
            lambda self, *_args, **_kwargs: self.copy_(given_values.reshape(self.shape)),
        )
        out = torch.empty(shape, dtype=torch.float64)
        return torch.nn.init.orthogonal_(out, gain).numpy()


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2), -0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_is_torchs_of_the_same_normal_values(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], gain: float
) -> None:
    ours = orthogonal.orthogonal(KEY, 0, shape, gain)
    assert ours.shape == shape
    assert ours.dtype == np.float32
    theirs = by_lapack(monkeypatch, shape, gain)
    np.testing.assert_allclose(ours, theirs, rtol=2e-7, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, ...]) -> None:
    matrix = orthogonal.orthogonal(KEY, 3, shape, 2.0).reshape(shape[0], -1).astype(np.float64) / 2
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    assert abs(gram - np.eye(len(gram))).max() < 2e-7


def test_orthogonal_is_the_definition_rounded_once() -> None:
    a = normals((70, 50)).numpy().astype(np.float64)
    tiles = qr.empty(70, 50)
    tiles[0], tiles[1, :, :18] = a[:, :32], a[:, 32:]
    diagonal = qr.decompose(tiles, 50)
    q = np.concatenate((tiles[0], tiles[1, :, :18]), axis=1) * np.sign(diagonal)
    expected = (q * 1.7).astype(np.float32)
    assert orthogonal.orthogonal(KEY, 0, (70, 50), 1.7).tolist() == expected.tolist()


def test_a_single_row_is_its_normals_over_their_length() -> None:
    z = normals((1, 50)).numpy().astype(np.float64)
    ours = orthogonal.orthogonal(KEY, 0, (1, 50), 1.0)
    np.testing.assert_allclose(ours, z / np.linalg.norm(z), rtol=1e-7)


def test_a_zero_on_the_diagonal_of_r_counts_as_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    # One normal value in 2^25 or so is zero: a 1 x 1 tensor of it would be no orthogonal matrix.
    monkeypatch.setattr(orthogonal.cpu, "fill", lambda _, out, *__: out.fill(0))
    assert orthogonal.orthogonal(KEY, 0, (1, 1), 3.0).tolist() == [[3.0]]
    assert orthogonal.orthogonal(KEY, 0, (3, 2), 1.0).tolist() == np.eye(3, 2).tolist()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (3, 0, 2)])
def test_orthogonal_of_no_elements_has_none(shape: tuple[int, ...]) -> None:
    assert orthogonal.orthogonal(KEY, 0, shape, 1.0).shape == shape
    assert orthogonal.orthogonal_cost(shape).operations == 0


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (40, 2000)])
def test_threads_change_no_bit_of_orthogonal(shape: tuple[int, ...]) -> None:
    expected = orthogonal.orthogonal(KEY, 0, shape, 1.0).tobytes()
    with ThreadPoolExecutor(3) as pool:
        for threads in (2, 3):
            ours = orthogonal.orthogonal(KEY, 0, shape, 1.0, each=helped(pool, threads))
            assert ours.tobytes() == expected


def test_several_orthogonals_at_once_are_those_one_after_another() -> None:
    expected = [orthogonal.orthogonal(KEY, draw, (150, 90), 1.0).tobytes() for draw in range(6)]
    with ThreadPoolExecutor(3) as pool:
        each = helped(pool, 3)
        results = pool.map(
            lambda draw: orthogonal.orthogonal(KEY, draw, (150, 90), 1.0, each=each).tobytes(),
            range(6),
        )
        assert list(results) == expected


@pytest.mark.parametrize("shape", [(1000, 500), (500, 1000), (20_000, 40), (64, 64, 3, 3)])
def test_orthogonal_takes_no_more_memory_than_its_cost(shape: tuple[int, ...]) -> None:
    tracemalloc.start()
    try:
        orthogonal.orthogonal(KEY, 0, shape, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = orthogonal.orthogonal_cost(shape).nbytes
    assert 0.75 * expected < peak < 1.02 * expected + 100_000


def test_the_cost_of_an_absurd_shape_is_exact_and_instant() -> None:
    cost = orthogonal.orthogonal_cost((2_000_000, 2_000_000))
    assert cost.operations == 8 * 2_000_000**3 // 3 + 1
    assert cost.nbytes > 12 * 2_000_000**2
    assert orthogonal.orthogonal_cost((2048, 2048)).operations == 22_906_492_246


def test_warming_up_leaves_nothing_to_compile() -> None:
    orthogonal.warm_up()
    compiled = counts()
    orthogonal.orthogonal(KEY, 0, (100, 70), 1.0)
    orthogonal.orthogonal(KEY, 1, (7, 5, 10), -2.0)
    assert counts() == compiled


def counts() -> dict[str, int]:
    """The kernels and how many forms of each there are."""
    kernels = vars(qr).items()
    return {name: len(k.signatures) for name, k in kernels if hasattr(k, "signatures")}
