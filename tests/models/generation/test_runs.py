"""Many short runs at once: each is that range of the tensor, whatever it is made from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

ROWS, COLUMNS = 96, 2500
PARTS = {"parts": [{"size": 40}, {"size": 56, "initializer": {"type": "constant", "val": 3}}]}
RULES: dict[str, dict[str, Any]] = {
    "normal": {"initializer": {"type": "normal", "std": 0.02}},
    "uniform": {"initializer": {"type": "uniform", "a": -1, "b": 2}},
    "trunc_normal": {"initializer": {"type": "trunc_normal", "std": 0.02}},
    "log_uniform": {"initializer": {"type": "log_uniform", "a": 0.001, "b": 0.1}},
    "transformed": {
        "initializer": {"type": "normal"},
        "transforms": [{"type": "scale", "value": 3}, {"type": "exp"}],
    },
    "formula": {"initializer": {"type": "map", "expression": "row * 0.5 + col"}},
    "parts of rows": {"initializer": {"type": "normal"}, "splits": {"axis": 0, **PARTS}},
    "parts that repeat": {
        "initializer": {"type": "uniform"},
        "splits": {"axis": 0, "parts": [{"size": 1}, {"size": 2}], "repeat": ROWS // 3},
    },
    "parts of columns": {
        "initializer": {"type": "normal"},
        "splits": {"axis": 1, "parts": [{"size": 1200}, {"size": 1300}]},
    },
    "places": {
        "initializer": {"type": "normal"},
        "transforms": [{"type": "set", "index": [":", 5], "value": 7}],
    },
    "sum": {"initializer": {"type": "sum", "initializers": [{"type": "normal"}] * 2}},
    "orthogonal": {"initializer": {"type": "orthogonal"}},
    "own": {"initializer": {"type": "zeros"}},
}
DTYPES = ("float32", "bfloat16", "float64", "float8_e4m3fn")


@cache
def evaluator(rule: str, dtype: str) -> Evaluator:
    tensor = {"name": "w", "shape": [ROWS, COLUMNS], "dtype": dtype}
    architecture = {"type": "tensors", "tensors": [tensor]}
    init = {"rules": [{"match": {}, **RULES[rule]}]}
    planned = make_plan(parse_spec({"architecture": architecture, "init": init}))
    return Evaluator(planned.plan, planned.blobs)


@cache
def whole(rule: str, dtype: str) -> np.ndarray[Any, Any]:
    found = evaluator(rule, dtype)
    tensor = found.plan.tensors[0]
    out = np.empty(tensor.nbytes, np.uint8)
    found.fill(0, 0, tensor.numel, out)
    return out.view(f"u{tensor.dtype.itemsize}")


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


@pytest.mark.parametrize("text", [":,3:700", "::7,100:1400:3", "5:60,::40", ":,7"])
@pytest.mark.parametrize("rule", RULES)
def test_the_runs_of_a_slice_are_numpys(rule: str, text: str) -> None:
    picked = parse_slice(text, (ROWS, COLUMNS))
    matrix = whole(rule, "float32").reshape(ROWS, COLUMNS)
    expected = eval(f"matrix[{text}]", {"matrix": matrix}).reshape(-1)
    runs = picked.numel // picked.run_elements
    out = np.empty(picked.numel * 4, np.uint8)
    evaluator(rule, "float32").fill_runs(0, picked.starts(0, runs), picked.run_elements, out)
    assert np.array_equal(out.view(np.uint32), expected)


def test_short_runs_of_draws_generate_nothing_else() -> None:
    counted: list[int] = []
    found = Evaluator(evaluator("normal", "float32").plan, count=counted.append)
    found.fill_runs(0, np.arange(0, ROWS * COLUMNS, COLUMNS), 100, np.empty(ROWS * 400, np.uint8))
    assert counted == [ROWS * 100]
