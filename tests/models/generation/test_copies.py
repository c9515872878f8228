"""Copies: tiles of another tensor, in any order of the copy's elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.copies import TILE_ELEMENTS, Limits, Tile, tiles
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Add,
    Copy,
    Program,
    Scale,
    SetElement,
    Sum,
    Transform,
    ZeroRows,
)

Shape = tuple[int, ...]
DRAW = Normal.of(0.0, 1.0)
OTHER: dict[str, Program] = {
    "a draw": Program(DRAW),
    "a transformed draw": Program(DRAW, (Scale(2.0), Add(1.0))),
    "a draw with zero rows": Program(DRAW, (ZeroRows((0, 1)), SetElement((0,), 3.0))),
    "a sum": Program(Sum((Program(DRAW), Program(Normal.of(1.0, 2.0, draw=1))))),
}


def evaluator(of: Program, other: Shape, copy: Copy, shape: Shape, device: Any = None) -> Evaluator:
    tensors = [
        PlanTensor(name, size, BY_NAME["float32"], "parameter", "", program)
        for name, size, program in (("o", other, of), ("c", shape, Program(copy)))
    ]
    return Evaluator(Plan(42, "philox-v1", {}, tuple(tensors)), draws=device)


def read(evaluator: Evaluator, tensor: int, start: int, stop: int) -> torch.Tensor:
    out = np.empty((stop - start) * 4, np.uint8)
    evaluator.fill(tensor, start, stop, out)
    return torch.from_numpy(out.view(np.float32))


@st.composite
def copies(draw: st.DrawFn, of: Program = OTHER["a draw"]) -> tuple[Shape, Copy, Shape]:
    """The other tensor's shape, a copy of a box of it with its axes in any order, and its shape."""
    other = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 7, 70, 200]), min_size=1, max_size=3)))
    offset, axes = 0, []
    for axis, size in enumerate(other):
        stride = math.prod(other[axis + 1 :])
        low = draw(st.integers(0, size - 1))
        axes.append((draw(st.integers(1, size - low)), stride))
        offset += low * stride
    axes = draw(st.permutations(axes))
    shape, strides = tuple(size for size, _ in axes), tuple(stride for _, stride in axes)
    return other, Copy(of, "o", other, strides, offset), shape


def with_other(name: str) -> st.SearchStrategy[tuple[Shape, Copy, Shape]]:
    of = OTHER[name]
    if name != "a draw with zero rows":
        return copies(of)
    return copies(of).map(_with_valid_element)


def _with_valid_element(case: tuple[Shape, Copy, Shape]) -> tuple[Shape, Copy, Shape]:
    other, copy, shape = case
    element = SetElement((0,) * len(other), 3.0)
    transforms: tuple[Transform, ...] = (ZeroRows((other[0] - 1,)), element)
    return other, Copy(Program(DRAW, transforms), "o", other, copy.strides, copy.offset), shape


@pytest.mark.parametrize("name", OTHER)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_range_is_that_of_torchs_strided_view(name: str, data: st.DataObject) -> None:
    other, copy, shape = data.draw(with_other(name))
    start = data.draw(st.integers(0, math.prod(shape) - 1))
    stop = data.draw(st.integers(start, math.prod(shape)))
    made = evaluator(copy.of, other, copy, shape)
    whole = read(made, 0, 0, math.prod(other))
    expected = whole.as_strided(shape, copy.strides, copy.offset).flatten()[start:stop]
    assert torch.equal(read(made, 1, start, stop), expected)


@settings(max_examples=200, deadline=None)
@given(case=copies(), gap=st.sampled_from([0, 1, 64, 2048]), data=st.data())
def test_tiles_hold_each_element_once(
    case: tuple[Shape, Copy, Shape], gap: int, data: st.DataObject
) -> None:
    other, copy, shape = case
    start = data.draw(st.integers(0, math.prod(shape)))
    stop = data.draw(st.integers(start, math.prod(shape)))
    numbers = torch.arange(math.prod(other))
    found = torch.full((stop - start,), -1)
    taken = 0
    for tile in tiles(copy, shape, start, stop, Limits(TILE_ELEMENTS, gap)):
        view = numbers.as_strided(*places_in_other(tile))
        found.as_strided(tile.sizes, tile.target_strides, tile.target).copy_(view)
        taken += view.numel()
    assert taken == stop - start
    expected = numbers.as_strided(shape, copy.strides, copy.offset).flatten()[start:stop]
    assert torch.equal(found, expected)


def places_in_other(tile: Tile) -> tuple[Shape, Shape, int]:
    return tile.sizes, (tile.step, *tile.strides[1:]), tile.first


@pytest.mark.parametrize(
    ("other", "strides", "shape"),
    [
        ((4096, 2048), (1, 2048), (2048, 4096)),
        ((16, 1 << 20), (1, 1 << 20), (1 << 20, 16)),
        ((1 << 20, 16), (1, 16), (16, 1 << 20)),
        ((3, 1 << 22), (1 << 22, 1), (3, 1 << 21)),
        ((1 << 22, 4), (4,), (1 << 22,)),
        ((64, 64, 1024), (1, 1024, 65536), (1024, 64, 64)),
    ],
)
@pytest.mark.parametrize("gap", [64, 2048])
def test_a_tile_that_is_not_in_order_takes_little_memory(
    other: Shape, strides: Shape, shape: Shape, gap: int
) -> None:
    copy = Copy(OTHER["a draw"], "o", other, strides)
    found = list(tiles(copy, shape, 0, math.prod(shape), Limits(TILE_ELEMENTS, gap)))
    held = [tile.runs * tile.pitch for tile in found if not tile.is_in_order]
    assert max(held, default=0) <= 2 * TILE_ELEMENTS
    generated = sum(tile.runs * tile.run for tile in found)
    assert generated <= (gap + 1) * math.prod(shape)
    assert len(found) <= math.prod(shape) // 1000


def test_a_copy_in_order_is_one_tile() -> None:
    copy = Copy(OTHER["a draw"], "o", (4096, 4096), (4096, 1), 4096)
    (tile,) = tiles(copy, (100, 4096), 5, 400_000, Limits(TILE_ELEMENTS, 64))
    assert (tile.first, tile.run, tile.target, tile.is_in_order) == (4101, 399_995, 0, True)


def test_torch_operations_give_the_runs_of_the_kernels() -> None:
    copy = Copy(OTHER["a transformed draw"], "o", (40, 3000), (1, 3000), 500)
    made = [
        evaluator(copy.of, (40, 3000), copy, (100, 40), device)
        for device in (None, ReferenceDraws(torch.device("cpu")))
    ]
    first, second = (read(each, 1, 7, 3990) for each in made)
    assert torch.equal(first, second)
