"""orthogonal and sparse: against their definitions, PyTorch, and known answers."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.stream import orthogonal, qr, reference, sparse
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.parallel import helped
from seedpoint.models.stream.sparse import find_cuts, zeros_per_column
from tests.support.generic_cpu import on_generic_cpu
from tests.support.places import GOLDEN

ORTHOGONAL = json.loads((GOLDEN / "orthogonal.json").read_text())["cases"]
SPARSE = json.loads((GOLDEN / "sparse.json").read_text())["cases"]
KEY = derive_key(7, "layers.0.weight")

Floats = npt.NDArray[np.float32]


def shown(values: Floats) -> tuple[str, list[str]]:
    """What a golden holds of a tensor: its SHA-256, and its first elements' bits."""
    little = np.ascontiguousarray(values, "<f4")
    first = [f"{bits:08x}" for bits in little.reshape(-1)[:4].view("<u4")]
    return hashlib.sha256(little.tobytes()).hexdigest(), first


def case_id(case: dict[str, Any]) -> str:
    return f"{'x'.join(map(str, case['shape']))}-{case['draw']}"


def run_orthogonal(case: dict[str, Any]) -> Floats:
    key = derive_key(case["seed"], case["name"])
    return orthogonal.orthogonal(key, case["draw"], tuple(case["shape"]), case["gain"])


def run_sparse(case: dict[str, Any]) -> Floats:
    key = derive_key(case["seed"], case["name"])
    return orthogonal.sparse(key, case["draw"], case["shape"], case["sparsity"], case["std"])


def goldens() -> str:
    """One digest of every golden, computed here and now."""
    together = [shown(run_orthogonal(case)) for case in ORTHOGONAL]
    together += [shown(run_sparse(case)) for case in SPARSE]
    return hashlib.sha256(json.dumps(together).encode()).hexdigest()


@pytest.mark.parametrize("case", ORTHOGONAL, ids=case_id)
def test_every_known_orthogonal_comes_out_bit_for_bit(case: dict[str, Any]) -> None:
    assert shown(run_orthogonal(case)) == (case["sha256"], case["first"])


@pytest.mark.parametrize("case", SPARSE, ids=case_id)
def test_every_known_sparse_comes_out_bit_for_bit(case: dict[str, Any]) -> None:
    assert shown(run_sparse(case)) == (case["sha256"], case["first"])


def test_the_bits_are_those_of_a_cpu_without_wide_vectors(tmp_path: Path) -> None:
    assert on_generic_cpu(__name__, "goldens()", tmp_path) == goldens()


# --- orthogonal ------------------------------------------------------------------

SHAPES = [
    *((1, 1), (1, 9), (9, 1), (5, 3), (3, 5), (33, 33), (64, 200), (200, 64)),
    *((8, 4, 3, 3), (6, 10, 7), (2, 3, 4, 5, 6), (1000, 20), (20, 1000)),
]


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


# --- sparse ----------------------------------------------------------------------


def naive(
    shape: tuple[int, int], sparsity: float, std: float, draw: int = 0
) -> npt.NDArray[np.float32]:
    rows, columns = shape
    values = reference.normal(KEY, draw, 0, rows * columns, (float(np.float32(std)), 0.0))
    words = reference.words(KEY, draw + 1, 0, rows * columns).reshape(shape)
    out = values.reshape(shape).numpy().copy()
    for column in range(columns):
        ranked = sorted(range(rows), key=lambda row: (int(words[row, column]), row))
        out[ranked[: math.ceil(sparsity * rows)], column] = 0
    return out


sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
fractions = st.one_of(st.sampled_from([0.0, 1.0, 1e-12, 0.1, 0.5, 1 - 2**-53]), st.floats(0, 1))


@settings(max_examples=60)
@given(sizes, fractions, st.integers(0, 9))
def test_sparse_is_its_definition(shape: tuple[int, int], sparsity: float, draw: int) -> None:
    ours = orthogonal.sparse(KEY, draw, shape, sparsity, 0.02)
    assert ours.tobytes() == naive(shape, sparsity, 0.02, draw).tobytes()


@pytest.mark.parametrize("shape", [(3000, 7), (7, 3000), (1, 5000), (5000, 1), (150, 700)])
def test_sparse_is_its_definition_in_longer_columns_and_rows(shape: tuple[int, int]) -> None:
    assert (
        orthogonal.sparse(KEY, 0, shape, 0.37, 1.0).tobytes() == naive(shape, 0.37, 1.0).tobytes()
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 10, 49, 100])
def test_columns_have_as_many_zeros_as_torchs(rows: int) -> None:
    for sparsity in (0.0, 0.1, 0.29, 0.3, 1 / 3, 0.5, 0.7, 0.9999, 1.0):
        theirs = torch.nn.init.sparse_(torch.empty(rows, 3), sparsity)
        ours = orthogonal.sparse(KEY, 0, (rows, 3), sparsity, 1.0)
        assert (ours == 0).sum(axis=0).tolist() == (theirs == 0).sum(dim=0).tolist()
        assert zeros_per_column(rows, sparsity) == math.ceil(sparsity * rows)


@settings(max_examples=40)
@given(sizes, fractions, st.data())
def test_any_range_of_sparse_is_that_slice_of_the_whole(
    shape: tuple[int, int], sparsity: float, data: st.DataObject
) -> None:
    rows, columns = shape
    start = data.draw(st.integers(0, rows * columns), label="start")
    stop = data.draw(st.integers(start, rows * columns), label="stop")
    found = find_cuts(KEY, 1, shape, zeros_per_column(rows, sparsity))
    out = np.empty(stop - start, np.float32)
    orthogonal.sparse_range(out, KEY, 0, start, columns, 1.0, found)
    expected = orthogonal.sparse(KEY, 0, shape, sparsity, 1.0).reshape(-1)[start:stop]
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("block", [1, 500, 2048, 2049])
def test_the_cuts_of_some_columns_are_those_among_all(block: int) -> None:
    shape, zeros = (30, 5000), 11
    everything = find_cuts(KEY, 1, shape, zeros)
    for first in (0, 1, 2047, 5000 - block):
        some = find_cuts(KEY, 1, shape, zeros, first=first, last=first + block)
        assert some.words.tolist() == everything.words[first : first + block].tolist()
        assert some.rows.tolist() == everything.rows[first : first + block].tolist()


def test_some_columns_of_a_matrix_too_large_for_memory_are_made_without_the_others() -> None:
    rows, columns, first = 500, 10**15, 10**15 - 7
    words = np.stack(
        [
            reference.words(KEY, 1, row * columns + first, (row + 1) * columns).numpy()
            for row in range(rows)
        ]
    )
    found = find_cuts(KEY, 1, (rows, columns), 200, first=first)
    out = np.empty(7, np.float32)
    for row in (0, 250, 499):
        orthogonal.sparse_range(out, KEY, 0, row * columns + first, columns, 1.0, found)
        ranks = np.argsort(np.argsort(words, axis=0, kind="stable"), axis=0)[row]
        assert ((out == 0) == (ranks < 200)).all()


def test_a_column_of_millions_is_cut_where_sorting_would_cut_it() -> None:
    rows, zeros = 3_000_000, 1_234_567
    words = reference.words(KEY, 1, 0, 2 * rows).reshape(rows, 2).numpy()
    found = find_cuts(KEY, 1, (rows, 2), zeros)
    for column in range(2):
        row = np.argsort(words[:, column], kind="stable")[zeros - 1]
        assert (found.words[column], found.rows[column]) == (words[row, column], row)


@pytest.mark.parametrize("zeros", [1, 2, 500, 998, 999])
@pytest.mark.parametrize("deviations", [1e-6, 0.01, 0.5, 3.0, 1e6])
def test_a_window_that_misses_is_widened_and_changes_nothing(zeros: int, deviations: float) -> None:
    shape = (1000, 20)
    expected = find_cuts(KEY, 1, shape, zeros)
    found = find_cuts(KEY, 1, shape, zeros, deviations=deviations)
    assert found.words.tolist() == expected.words.tolist()
    assert found.rows.tolist() == expected.rows.tolist()


def test_of_equal_words_the_lower_row_is_zero_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "_collect", few_words(sparse._collect))
    found = find_cuts(KEY, 1, (9, 2), 5)
    assert found.words.tolist() == [6, 6]
    assert found.rows.tolist() == [4, 4]


def few_words(_collect: Any) -> Any:
    """`_collect` as if every word were 6."""

    def collect(
        kept: Any, below: Any, found: Any, key: Any, draw: int, start: int, stop: int, *rest: Any
    ) -> None:
        low, high, rows = rest[-1]
        assert (low, high) == (0, 2**32)
        for row in range(start, stop):
            kept[:, row] = 6 * rows + row
        found += stop - start

    return collect


@pytest.mark.parametrize("shape", [(700, 9000), (9000, 700)])
def test_threads_change_no_bit_of_sparse(shape: tuple[int, int]) -> None:
    expected = orthogonal.sparse(KEY, 0, shape, 0.2, 1.0).tobytes()
    with ThreadPoolExecutor(3) as pool:
        ours = orthogonal.sparse(KEY, 0, shape, 0.2, 1.0, each=helped(pool, 3))
    assert ours.tobytes() == expected


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_sparse_of_no_elements_has_none(shape: tuple[int, int]) -> None:
    assert orthogonal.sparse(KEY, 0, shape, 0.5, 1.0).shape == shape


def test_the_rest_of_sparse_is_normal() -> None:
    values = orthogonal.sparse(KEY, 0, (1000, 500), 0.25, 0.5)
    rest = values[values != 0]
    assert len(rest) == 750 * 500
    assert abs(rest.mean()) < 6 * 0.5 / math.sqrt(len(rest))
    assert abs(rest.std() / 0.5 - 1) < 6 / math.sqrt(2 * len(rest))


# --- the kernels -----------------------------------------------------------------


def test_warming_up_leaves_nothing_to_compile() -> None:
    orthogonal.warm_up()
    compiled = counts()
    orthogonal.orthogonal(KEY, 0, (100, 70), 1.0)
    orthogonal.orthogonal(KEY, 1, (7, 5, 10), -2.0)
    orthogonal.sparse(KEY, 5, (100, 600), 0.5, 1.0)
    assert counts() == compiled


def counts() -> dict[str, int]:
    """The kernels and how many forms of each there are."""
    kernels = {**vars(qr), **vars(sparse)}.items()
    return {name: len(k.signatures) for name, k in kernels if hasattr(k, "signatures")}
