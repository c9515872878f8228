"""Source `sparse`: against its definition, PyTorch, and known answers."""

from __future__ import annotations

import hashlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.stream import cuts, reference, sparse
from seedpoint.models.stream.cuts import find_cuts, zeros_per_column
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.parallel import helped
from tests.models.stream.whole_goldens import case_id, shown
from tests.support.generic_cpu import on_generic_cpu
from tests.support.places import GOLDEN

SPARSE = json.loads((GOLDEN / "sparse.json").read_text())["cases"]
KEY = derive_key(7, "layers.0.weight")

Floats = npt.NDArray[np.float32]


def run_sparse(case: dict[str, Any]) -> Floats:
    key = derive_key(case["seed"], case["name"])
    return sparse.sparse(key, case["draw"], case["shape"], case["sparsity"], case["std"])


def goldens() -> str:
    """One digest of every golden, computed here and now."""
    together = [shown(run_sparse(case)) for case in SPARSE]
    return hashlib.sha256(json.dumps(together).encode()).hexdigest()


@pytest.mark.parametrize("case", SPARSE, ids=case_id)
def test_every_known_sparse_comes_out_bit_for_bit(case: dict[str, Any]) -> None:
    assert shown(run_sparse(case)) == (case["sha256"], case["first"])


def test_the_bits_are_those_of_a_cpu_without_wide_vectors(tmp_path: Path) -> None:
    assert on_generic_cpu(__name__, "goldens()", tmp_path) == goldens()


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
    ours = sparse.sparse(KEY, draw, shape, sparsity, 0.02)
    assert ours.tobytes() == naive(shape, sparsity, 0.02, draw).tobytes()


@pytest.mark.parametrize("shape", [(3000, 7), (7, 3000), (1, 5000), (5000, 1), (150, 700)])
def test_sparse_is_its_definition_in_longer_columns_and_rows(shape: tuple[int, int]) -> None:
    assert sparse.sparse(KEY, 0, shape, 0.37, 1.0).tobytes() == naive(shape, 0.37, 1.0).tobytes()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 10, 49, 100])
def test_columns_have_as_many_zeros_as_torchs(rows: int) -> None:
    for sparsity in (0.0, 0.1, 0.29, 0.3, 1 / 3, 0.5, 0.7, 0.9999, 1.0):
        theirs = torch.nn.init.sparse_(torch.empty(rows, 3), sparsity)
        ours = sparse.sparse(KEY, 0, (rows, 3), sparsity, 1.0)
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
    sparse.sparse_range(out, KEY, 0, start, columns, 1.0, found)
    expected = sparse.sparse(KEY, 0, shape, sparsity, 1.0).reshape(-1)[start:stop]
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(700, 9000), (9000, 700)])
def test_threads_change_no_bit_of_sparse(shape: tuple[int, int]) -> None:
    expected = sparse.sparse(KEY, 0, shape, 0.2, 1.0).tobytes()
    with ThreadPoolExecutor(3) as pool:
        ours = sparse.sparse(KEY, 0, shape, 0.2, 1.0, each=helped(pool, 3))
    assert ours.tobytes() == expected


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_sparse_of_no_elements_has_none(shape: tuple[int, int]) -> None:
    assert sparse.sparse(KEY, 0, shape, 0.5, 1.0).shape == shape


def test_the_rest_of_sparse_is_normal() -> None:
    values = sparse.sparse(KEY, 0, (1000, 500), 0.25, 0.5)
    rest = values[values != 0]
    assert len(rest) == 750 * 500
    assert abs(rest.mean()) < 6 * 0.5 / math.sqrt(len(rest))
    assert abs(rest.std() / 0.5 - 1) < 6 / math.sqrt(2 * len(rest))


def test_warming_up_leaves_nothing_to_compile() -> None:
    sparse.warm_up()
    compiled = counts()
    sparse.sparse(KEY, 5, (100, 600), 0.5, 1.0)
    assert counts() == compiled


def counts() -> dict[str, int]:
    """The kernels and how many forms of each there are."""
    kernels = vars(cuts).items()
    return {name: len(k.signatures) for name, k in kernels if hasattr(k, "signatures")}
