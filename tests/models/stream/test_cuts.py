"""Cuts of a sparse matrix: those of sorted words, however they are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from seedpoint.models.stream import cuts, reference, sparse
from seedpoint.models.stream.cuts import find_cuts
from seedpoint.models.stream.key import derive_key

KEY = derive_key(7, "layers.0.weight")

Floats = npt.NDArray[np.float32]


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
        sparse.sparse_range(out, KEY, 0, row * columns + first, columns, 1.0, found)
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
    monkeypatch.setattr(cuts, "collect", few_words)
    found = find_cuts(KEY, 1, (9, 2), 5)
    assert found.words.tolist() == [6, 6]
    assert found.rows.tolist() == [4, 4]


def few_words(
    kept: Any, below: Any, found: Any, key: Any, draw: int, start: int, stop: int, *rest: Any
) -> None:
    """`cuts.collect` as if every word were 6."""
    low, high, rows = rest[-1]
    assert (low, high) == (0, 2**32)
    for row in range(start, stop):
        kept[:, row] = 6 * rows + row
    found += stop - start
