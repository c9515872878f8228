"""Householder QR: its definition bit for bit, and the mathematics."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.stream import qr
from seedpoint.models.stream.parallel import Each, Work, helped, serial
from tests.support.generic_cpu import on_generic_cpu

Matrix = npt.NDArray[np.float64]
SHAPES = [
    *((1, 1), (2, 1), (3, 2), (4, 4), (31, 31), (32, 32), (33, 33), (40, 32), (64, 33)),
    *((97, 65), (128, 128), (300, 7), (130, 129)),
]


def random(rows: int, columns: int) -> Matrix:
    return np.random.RandomState(rows * 1000 + columns).standard_normal((rows, columns))


def tiled(a: Matrix, padding: float = 0.0) -> Matrix:
    rows, columns = a.shape
    tiles = qr.empty(rows, columns)
    padded = np.full((rows, len(tiles) * qr.WIDTH), padding)
    padded[:, :columns] = a
    tiles[:] = padded.reshape(rows, -1, qr.WIDTH).transpose(1, 0, 2)
    return tiles


def decomposed(a: Matrix, each: Each = serial, padding: float = 0.0) -> tuple[Matrix, Matrix]:
    rows, columns = a.shape
    tiles = tiled(a, padding)
    diagonal = qr.decompose(tiles, columns, each)
    return tiles.transpose(1, 0, 2).reshape(rows, -1)[:, :columns], diagonal


def digest(threads: int) -> str:
    with ThreadPoolExecutor(3) as pool:
        q, diagonal = decomposed(random(301, 200), helped(pool, threads))
    return hashlib.sha256(np.ascontiguousarray(q).tobytes() + diagonal.tobytes()).hexdigest()


# --- the definition, as models/stream/qr.py words it -------------------------------


def products(x: Matrix, y: Matrix) -> Matrix:
    total = np.zeros((x.shape[1], y.shape[1]))
    for row_x, row_y in zip(x, y, strict=True):
        total = total + row_x[:, None] * row_y[None, :]
    return total


def subtracted(c: Matrix, v: Matrix, u: Matrix) -> Matrix:
    for k in range(v.shape[1]):
        c = c - v[:, k, None] * u[k]
    return c


def panel(a: Matrix) -> tuple[Matrix, Matrix, list[float]]:
    """V, T and diag(R) of the panel `a` of rows >= top."""
    a = a.copy()
    rows, columns = a.shape
    v, taus, diagonal = np.zeros((rows, 32)), [0.0] * 32, []
    for j in range(columns):
        d = products(a[j + 1 :, j : j + 1], a[j + 1 :])[0]
        alpha = float(a[j, j])
        beta, tau, s = alpha, 0.0, 0.0
        if d[j] != 0:
            root = math.sqrt(alpha * alpha + float(d[j]))
            beta = -root if alpha >= 0 else root
            tau, s = (beta - alpha) / beta, 1 / (alpha - beta)
        t = tau * (a[j, j + 1 :] + s * d[j + 1 :])
        a[j, j + 1 :] = a[j, j + 1 :] - t
        v[j, j], v[j + 1 :, j] = 1.0, a[j + 1 :, j] * s
        a[j + 1 :, j + 1 :] = a[j + 1 :, j + 1 :] - v[j + 1 :, j, None] * t
        taus[j] = tau
        diagonal.append(beta)
    g, t = products(v, v), np.zeros((32, 32))
    for i in range(32):
        t[i, i] = taus[i]
        for k in range(i):
            total = 0.0
            for m in range(k, i):
                total = total + float(t[k, m]) * float(g[m, i])
            t[k, i] = -taus[i] * total
    return v, t, diagonal


def definition(a: Matrix) -> tuple[Matrix, Matrix]:
    a, panels, diagonal = a.copy(), [], []
    rows, columns = a.shape
    for top in range(0, columns, 32):
        v, t, part = panel(a[top:, top : top + 32])
        right = a[top:, top + 32 :]
        a[top:, top + 32 :] = subtracted(right, v, products(t, products(v, right)))
        panels.append((top, v, t))
        diagonal += part
    q = np.eye(rows, columns)
    for top, v, t in reversed(panels):
        c = q[top:, top:]
        q[top:, top:] = subtracted(c, v, products(t.T, products(v, c)))
    return q, np.array(diagonal)


def same_bits(one: tuple[Matrix, Matrix], other: tuple[Matrix, Matrix]) -> bool:
    return all(
        np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()
        for x, y in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_the_bits_are_those_of_the_definition(rows: int, columns: int) -> None:
    a = random(rows, columns)
    assert same_bits(decomposed(a), definition(a))


@settings(max_examples=25)
@given(st.integers(1, 80), st.integers(0, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_the_bits_are_those_of_the_definition_whatever_the_matrix(
    columns: int, taller: int, seed: int, small_integers: bool
) -> None:
    state = np.random.RandomState(seed)
    shape = columns + taller, columns
    if small_integers:  # many zeros, ties and exact dependencies
        a = state.randint(0, 3, shape).astype(np.float64)
    else:
        a = state.standard_normal(shape) * 10.0 ** state.randint(-9, 9, shape)
    assert same_bits(decomposed(a), definition(a))


# --- the mathematics ---------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [*SHAPES, (700, 300), (5000, 40)])
def test_q_is_orthonormal_and_is_lapacks_but_for_signs(rows: int, columns: int) -> None:
    a = random(rows, columns)
    q, diagonal = decomposed(a)
    assert abs(q.T @ q - np.eye(columns)).max() < 1e-13
    theirs, r = (x.numpy() for x in torch.linalg.qr(torch.from_numpy(a)))
    signs = np.sign(diagonal) * np.sign(r.diagonal())
    np.testing.assert_allclose(q * signs, theirs, rtol=0, atol=1e-11)
    np.testing.assert_allclose(diagonal * signs, r.diagonal(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_q_r_is_the_matrix_and_r_is_triangular(rows: int, columns: int) -> None:
    a = random(rows, columns)
    q, diagonal = decomposed(a)
    r = q.T @ a
    assert abs(np.tril(r, -1)).max() < 1e-12
    np.testing.assert_allclose(r.diagonal(), diagonal, rtol=0, atol=1e-12)
    np.testing.assert_allclose(q @ r, a, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "a",
    [
        np.zeros((40, 35)),
        np.eye(40, 35),
        np.ones((40, 35)),
        np.full((3, 3), 1e-170),
        np.full((50, 33), 1e-140),
        np.triu(random(40, 40)),
    ],
    ids=["zeros", "identity", "ones", "underflow", "tiny", "triangular"],
)
def test_q_of_a_singular_or_tiny_matrix_is_orthonormal_all_the_same(a: Matrix) -> None:
    q, diagonal = decomposed(a)
    assert abs(q.T @ q - np.eye(a.shape[1])).max() < 1e-13
    assert np.isfinite(diagonal).all()


def test_a_matrix_already_triangular_has_the_identity_for_q() -> None:
    a = np.triu(random(50, 40))
    q, diagonal = decomposed(a)
    assert q.tolist() == np.eye(50, 40).tolist()
    assert diagonal.tolist() == a.diagonal().tolist()


# --- what no bit depends on --------------------------------------------------------


def backwards(work: Work, numbers: range) -> None:
    serial(work, numbers[::-1])


def one_thread_each(work: Work, numbers: range) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("each", [backwards, one_thread_each])
def test_the_order_of_the_tiles_changes_no_bit(each: Each) -> None:
    a = random(301, 200)
    assert same_bits(decomposed(a, each), decomposed(a))


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    assert digest(threads) == digest(1)


@pytest.mark.parametrize("padding", [1.0, -1e300, math.inf, math.nan])
def test_what_the_last_tile_holds_past_the_matrix_changes_no_bit(padding: float) -> None:
    a = random(90, 70)
    assert same_bits(decomposed(a, padding=padding), decomposed(a))


@pytest.mark.parametrize("shift", range(8))
def test_where_the_tiles_lie_in_memory_changes_no_bit(shift: int) -> None:
    a = random(90, 70)
    tiles = tiled(a)
    moved = np.empty(tiles.size + 8)[shift : shift + tiles.size].reshape(tiles.shape)
    moved[:] = tiles
    diagonals = qr.decompose(tiles, 70), qr.decompose(moved, 70)
    assert same_bits((tiles, diagonals[0]), (moved, diagonals[1]))


def test_more_columns_on_the_right_change_nothing_on_the_left() -> None:
    a = random(120, 100)
    _, narrow = decomposed(a[:, :64].copy())
    _, wide = decomposed(a)
    assert narrow.tolist() == wide[:64].tolist()


def test_the_bits_are_those_of_a_cpu_without_wide_vectors(tmp_path: Path) -> None:
    assert on_generic_cpu(__name__, "digest(2)", tmp_path) == digest(2)


def test_a_kernel_runs_without_the_gil() -> None:
    panel, ticks, stop = random(300_000, 32), 0, threading.Event()
    qr.factor(panel[:40].copy(), 32, np.empty((32, 32)), np.empty(32))

    def count() -> None:
        nonlocal ticks
        while not stop.wait(0.001):
            ticks += 1

    def ticks_of_a_call() -> int:
        before = ticks
        qr.factor(panel, 32, np.empty((32, 32)), np.empty(32))
        return ticks - before

    thread = threading.Thread(target=count)
    thread.start()
    # With the GIL no call has any but one at its ends; on busy cores some have few without it.
    ticking = any(ticks_of_a_call() > 2 for _ in range(50))
    stop.set()
    thread.join()
    assert ticking


# --- each --------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_each_number_is_done_once_and_all_are_when_it_returns(threads: int) -> None:
    done: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        for numbers in (range(0), range(1), range(5, 200)):
            done.clear()
            helped(pool, threads)(done.append, numbers)
            assert sorted(done) == list(numbers)


def test_what_the_work_raises_is_raised() -> None:
    def fail(number: int) -> None:
        raise ValueError(f"number {number}")

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="number"):
        helped(pool, 2)(fail, range(10))


def test_a_pool_whose_threads_all_wait_for_each_other_finishes() -> None:
    with ThreadPoolExecutor(2) as pool:
        each = helped(pool, 3)
        total: list[int] = []
        nested: Callable[[], None] = lambda: each(total.append, range(50))  # noqa: E731
        futures = [pool.submit(nested) for _ in range(8)]
        for future in futures:
            future.result(timeout=30)
    assert len(total) == 400
