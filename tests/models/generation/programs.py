"""Tensors of every kind of program, whole and by an evaluator, to take parts of."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

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
