"""NaN has one pattern in each dtype, whatever processor computed it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Constant, Part, Program, Scale, Split
from seedpoint.models.stream import nans
from seedpoint.models.stream.formats import FORMATS

INFINITY_TIMES_ZERO = (Scale(3e38), Scale(3e38), Scale(0.0))


PATTERNS = {**nans.PATTERNS, **{name: numbers.nan for name, numbers in FORMATS.items()}}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pattern_is_torchs_nan(dtype: str) -> None:
    bits = {"float32": torch.int32, "float64": torch.int64}[dtype]
    made = torch.tensor([torch.nan], dtype=BY_NAME[dtype].torch)
    assert made.view(bits).item() == nans.PATTERNS[dtype]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"]
)
def test_every_nan_of_a_file_is_the_one(dtype: str, reference: bool) -> None:
    found = BY_NAME[dtype]
    half = Part(500, Program(Normal.of(0, 3), INFINITY_TIMES_ZERO))
    for program in (
        Program(Normal.of(0, 3), INFINITY_TIMES_ZERO),
        Program(Split(0, (half, Part(501, Program(Constant(1.0)))))),
    ):
        draws = ReferenceDraws(torch.device("cpu")) if reference else None
        plan = Plan(
            1, "philox-v1", {}, (PlanTensor("w", (1001,), found, "parameter", "", program),)
        )
        out = np.empty(1001 * found.itemsize, np.uint8)
        Evaluator(plan, draws=draws).fill(0, 0, 1001, out)
        values = torch.from_numpy(out).view(found.torch)
        nan = values.float().isnan()
        if dtype != "float64":  # Which does not overflow there.
            assert int(nan.sum()) in (500, 1001)
        bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[found.itemsize]
        assert set(values.view(bits)[nan].tolist()) <= {PATTERNS[dtype]}
