"""Kernels of many short runs against those of one range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seedpoint.models.draws import LogUniform, Normal, TruncNormal, Uniform
from seedpoint.models.draws.draw import Draw
from seedpoint.models.stream import cpu

KEY = (0x1234, 0xFEDC)
DRAWS = (
    Uniform.of(-1, 2),
    Normal.of(0.5, 3),
    TruncNormal.of(0, 1, -2, 2),
    LogUniform.of(1e-3, 10),
)
FAR = 2**34  # the elements on both sides differ in the counter's high word


@pytest.mark.parametrize("dtype", cpu.RUN_VALUES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("run", [1, 2, 3, 4, 7, 64, 2044, 2045, 3000])
@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.type)
def test_each_run_is_that_range(draw: Draw, run: int, dtype: np.dtype[Any]) -> None:
    base = np.array([0, 1, 2, 3, 5000, FAR - run // 2 - 1, FAR - 2, FAR, 2**62 + 1])
    starts = np.sort(np.concatenate([base, base + 3 * run]))
    out = np.empty(len(starts) * run, dtype)
    cpu.fill_runs(draw.type, out, KEY, draw.draw, starts, run, draw.f32)
    expected = np.empty(run, dtype)
    for number, start in enumerate(starts.tolist()):
        cpu.fill(draw.type, expected, KEY, draw.draw, start, draw.f32)
        made = out[number * run : (number + 1) * run]
        assert made.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("starts", "run", "size"),
    [
        (np.array([0]), 0, 0),
        (np.array([0, 4]), 2, 5),
        (np.array([-1]), 2, 2),
        (np.array([2**63 - 2]), 2, 2),
        (np.array([0, 0], np.int32), 1, 2),
        (np.arange(4)[::2], 1, 2),
    ],
)
def test_what_cannot_be_filled_is_refused(
    starts: np.ndarray[tuple[int], np.dtype[np.int64]], run: int, size: int
) -> None:
    draw = DRAWS[0]
    with pytest.raises(ValueError, match=r"run|start"):
        cpu.fill_runs(draw.type, np.empty(size, np.float32), KEY, 0, starts, run, draw.f32)
