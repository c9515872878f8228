"""Parts of a tensor: slices and windows, any range of them, against NumPy's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.parts import Part, each_run, fill_part
from seedpoint.models.ranks.placements import Indices
from seedpoint.models.ranks.windows import Window
from tests.models.generation.programs import COLUMNS, ROWS, RULES, evaluator, whole


def filled(rule: str, part: Part, start: int, stop: int) -> np.ndarray[Any, Any]:
    out = np.empty((stop - start) * 4, np.uint8)
    fill_part(evaluator(rule, "float32"), 0, part, start, stop, out)
    return out.view(np.uint32)


@pytest.mark.parametrize("text", [":,3:700", "::7,100:1400:3", "5:60,::40", ":,7", "7", "3:5"])
@pytest.mark.parametrize("rule", RULES)
@given(st.data())
def test_a_slice_is_numpys(rule: str, text: str, data: st.DataObject) -> None:
    picked = parse_slice(text, (ROWS, COLUMNS))
    matrix = whole(rule, "float32").reshape(ROWS, COLUMNS)
    expected = eval(f"matrix[{text}]", {"matrix": matrix}).reshape(-1)
    start = data.draw(st.integers(0, picked.numel))
    stop = data.draw(st.integers(start, picked.numel))
    assert np.array_equal(filled(rule, picked, start, stop), expected[start:stop])


INDICES: list[tuple[Indices, ...]] = [
    ((range(10, 20), range(40, 43)), (range(3), range(100, 900))),
    ((range(96),), (range(5, 6), range(7, 8), range(2400, 2500))),
    ((range(1, 2),), (range(2500),)),
    ((range(7, 80),), (range(2000, 2500),)),
    ((), (range(9),)),
]


@pytest.mark.parametrize("indices", INDICES, ids=str)
@pytest.mark.parametrize("rule", RULES)
@given(st.data())
def test_a_window_is_numpys(rule: str, indices: tuple[Indices, ...], data: st.DataObject) -> None:
    window = Window.of((ROWS, COLUMNS), indices)
    rows, columns = ([i for part in along for i in part] for along in indices)
    matrix = whole(rule, "float32").reshape(ROWS, COLUMNS)
    expected = matrix[rows][:, columns].reshape(-1)
    start = data.draw(st.integers(0, window.numel))
    stop = data.draw(st.integers(start, window.numel))
    assert np.array_equal(filled(rule, window, start, stop), expected[start:stop])
    runs = [i for first, last in each_run(window, start, stop) for i in range(first, last)]
    assert np.array_equal(matrix.reshape(-1)[runs], expected[start:stop])
