"""Slices and lists of indices in transforms, beside NumPy's indexing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.initializers.indices import boxes, stretches
from seedpoint.models.plan.program import FillRegion, SetElement, ZeroRows
from tests.support.issued import issued
from tests.support.plans import faults, plan, rule, tensor


def tensors(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"type": "tensors", "tensors": {"w": {"shape": list(shape), "dtype": dtype}}}


def after(shape: tuple[int, ...], transform: dict[str, Any], dtype: str = "float32") -> np.ndarray:
    given = rule({}, {"type": "ones"}, transforms=[transform])
    found = issued({"architecture": tensors(*shape, dtype=dtype), "init": {"rules": [given]}})
    return found["w"].numpy()


def by_numpy(index: tuple[Any, ...]) -> tuple[Any, ...]:
    def one(entry: Any) -> Any:
        if isinstance(entry, str):
            return slice(*(int(part) if part else None for part in entry.split(":")))
        return entry

    return tuple(one(entry) for entry in index)


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((8,), ["2:5"]),
        ((8,), ["-3:"]),
        ((8,), ["1::3"]),
        ((8,), [[0, 3, 6]]),
        ((8,), [[7, -7, 1, 2]]),
        ((6, 5), [":", 2]),
        ((6, 5), ["1:3"]),
        ((6, 5), ["1:3", [0, -1]]),
        ((3, 4, 5), [1, "::2", "1:"]),
    ],
)
def test_set_takes_slices_and_lists_on_any_axis(shape: tuple[int, ...], index: list[Any]) -> None:
    expected = np.ones(shape, np.float32)
    expected[by_numpy(tuple(index))] = 7
    assert np.array_equal(after(shape, {"type": "set", "index": index, "value": 7}), expected)


def test_a_list_may_hold_slices() -> None:
    found = after((9,), {"type": "set", "index": [["1:3", 5, "-2:"]], "value": 0})
    assert np.flatnonzero(found == 0).tolist() == [1, 2, 5, 7, 8]


@pytest.mark.parametrize(
    ("rows", "axis", "zero"),
    [("4:", 0, [4, 5]), ([0, "3:5"], 0, [0, 3, 4]), ("::2", 1, [0, 2]), ([1, -1], -1, [1, 3])],
)
def test_zero_rows_takes_slices_and_an_axis(rows: Any, axis: int, zero: list[int]) -> None:
    found = after((6, 4), {"type": "zero_rows", "rows": rows, "axis": axis})
    assert np.flatnonzero((found == 0).all(axis=1 - axis % 2)).tolist() == zero


def test_clamp_takes_an_index() -> None:
    given = rule(
        {},
        {"type": "normal"},
        transforms=[{"type": "clamp", "min": 0, "index": ["2:4", [0, 2]]}],
    )
    document = {"architecture": tensors(5, 4), "init": {"rules": [given]}}
    found = issued(document)["w"]
    expected = issued({**document, "init": {"rules": [rule({}, {"type": "normal"})]}})["w"]
    for column in (0, 2):
        expected[2:4, column].clamp_(min=0)
    assert torch.equal(found, expected)


def test_integers_take_slices_exactly() -> None:
    value = 2**53 + 1
    found = after((4,), {"type": "set", "index": ["1:3"], "value": value}, "int64")
    assert found.tolist() == [1, value, value, 1]


def test_plain_indices_keep_their_programs() -> None:
    steps = [
        {"type": "zero_rows", "rows": [-1, 0]},
        {"type": "set", "index": [0, -1], "value": 2},
        {"type": "zero_rows", "rows": "2:4"},
    ]
    found = plan(tensors(6, 4), rule({}, {"type": "normal"}, transforms=steps))
    assert tensor(found, "w").program.transforms == (
        ZeroRows((0, 5)),
        SetElement((0, 3), 2.0),
        FillRegion(((2, 4, 1), (0, 4, 1)), 0),
    )


@pytest.mark.parametrize(
    ("transform", "path", "said"),
    [
        ({"type": "set", "index": ["9:"], "value": 1}, "", "index at axis 0 '9:' takes nothing"),
        ({"type": "set", "index": ["a:b"], "value": 1}, ".index.0", "must be an integer, a slice"),
        (
            {"type": "set", "index": ["::0"], "value": 1},
            ".index.0",
            "step of slice '::0' must be at least 1",
        ),
        ({"type": "set", "index": [1], "value": 1}, "", 'write ":"'),
        ({"type": "zero_rows", "rows": [7]}, "", "row 7 is outside 0..5"),
        ({"type": "zero_rows", "rows": "9:"}, "", "row at axis 0 '9:' takes nothing of 0..5"),
        ({"type": "zero_rows", "rows": [0], "axis": 2}, "", "axis 2 is outside"),
        ({"type": "clamp", "min": 0, "index": ["9:"]}, "", "takes nothing of 0..5"),
        ({"type": "clamp", "min": 0, "index": [0, 0, 0]}, "", "index has 3 axes"),
    ],
)
def test_faulty_indices_are_told(transform: Any, path: str, said: str) -> None:
    given = rule({}, {"type": "normal"}, transforms=[transform])
    ((found, message),) = faults(tensors(6, 4), given).items()
    assert found == f"init.rules.0.transforms.0{path}"
    assert said in message


@given(st.lists(st.integers(-9, 8), min_size=1, max_size=9))
def test_stretches_cover_each_index_once(indices: list[int]) -> None:
    found = [
        place
        for start, stop, step in stretches(tuple(indices), 9, "row")
        for place in range(start, stop, step)
    ]
    assert sorted(found) == sorted({index % 9 for index in indices})


def test_scattered_indices_on_two_axes_are_bounded() -> None:
    scattered = tuple(index * index for index in range(100))
    with pytest.raises(ValueError, match="more than 1000 separate boxes"):
        boxes((scattered, scattered), (10_000, 10_000), "index")
