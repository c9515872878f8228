"""Windows: their runs are the elements, in order, of any part of them."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.generation.parts import each_run
from seedpoint.models.ranks.placements import Shard, StridedShard, local_indices, whole
from seedpoint.models.ranks.windows import Window


@st.composite
def indices_of(draw: Any, size: int) -> tuple[range, ...]:
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=6)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    chosen = tuple(range(low, high) for low, high in pairs)
    return whole(size) if draw(st.booleans()) else chosen


@given(st.data())
def test_the_runs_of_any_range_are_its_elements(data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 6), max_size=4)))
    indices = [data.draw(indices_of(size)) for size in shape]
    window = Window.of(shape, indices)
    expected = torch.arange(torch.Size(shape).numel()).view(shape)
    for dim, parts in enumerate(indices):
        chosen = torch.tensor([at for part in parts for at in part], dtype=torch.int64)
        expected = expected.index_select(dim, chosen)
    assert window.shape == tuple(expected.shape)
    flat = expected.flatten().tolist()
    start = data.draw(st.integers(0, window.numel))
    stop = data.draw(st.integers(start, window.numel))
    runs = list(each_run(window, start, stop))
    assert [at for first, last in runs for at in range(first, last)] == flat[start:stop]
    assert all(first < last for first, last in runs)


def runs_of(window: Window) -> list[tuple[int, int]]:
    return list(each_run(window, 0, window.numel))


def test_a_shard_of_rows_is_one_run() -> None:
    indices = local_indices((8, 3, 5), (4,), (2,), [Shard(0)])
    assert runs_of(Window.of((8, 3, 5), indices)) == [(60, 90)]


def test_rows_of_a_strided_shard_are_two_runs() -> None:
    indices = local_indices((8, 5), (2,), (1,), [StridedShard(0, 2)])
    assert runs_of(Window.of((8, 5), indices)) == [(10, 20), (30, 40)]


def test_a_scalar_is_one_run() -> None:
    assert runs_of(Window.of((), ())) == [(0, 1)]
