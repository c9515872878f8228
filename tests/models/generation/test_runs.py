"""Many short runs at once: each is that range of the tensor, whatever it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.generation.evaluator import Evaluator
from tests.models.generation.programs import COLUMNS, DTYPES, ROWS, RULES, evaluator, whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
@given(st.data())
def test_runs_are_those_ranges_of_the_whole(rule: str, dtype: str, data: st.DataObject) -> None:
    expected = whole(rule, dtype)
    run = data.draw(st.sampled_from([1, 2, 5, 33, 512, 511, COLUMNS, (1 << 16) + 1]))
    highest = len(expected) - run
    starts = np.array(sorted(data.draw(st.lists(st.integers(0, highest), max_size=40))), np.int64)
    out = np.empty(len(starts) * run * expected.itemsize, np.uint8)
    evaluator(rule, dtype).fill_runs(0, starts, run, out)
    for number, start in enumerate(starts.tolist()):
        made = out.view(expected.dtype)[number * run : (number + 1) * run]
        assert np.array_equal(made, expected[start : start + run])


def test_short_runs_of_draws_generate_nothing_else() -> None:
    counted: list[int] = []
    found = Evaluator(evaluator("normal", "float32").plan, count=counted.append)
    found.fill_runs(0, np.arange(0, ROWS * COLUMNS, COLUMNS), 100, np.empty(ROWS * 400, np.uint8))
    assert counted == [ROWS * 100]
