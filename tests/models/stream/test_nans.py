"""NaN has one pattern in each dtype, whatever processor computed it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import nans
from models.dtypes import DTYPES
from models.generate import Evaluator
from models.plan import Plan, PlanTensor
from models.program import Constant, Normal, Part, Program, Scale, Split
from models.sources import ReferenceDraws

FLOATING = [dtype for dtype in DTYPES if dtype.is_floating]
INFINITY_TIMES_ZERO = (Scale(3e38), Scale(3e38), Scale(0.0))


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_the_pattern_is_a_nan_of_the_dtype(dtype: object) -> None:
    assert set(nans.PATTERNS) == {found.name for found in FLOATING}
    found = next(entry for entry in FLOATING if entry is dtype)
    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[found.itemsize]
    made = torch.tensor([nans.PATTERNS[found.name]], dtype=bits).view(found.torch)
    assert made.float().isnan().all()
    if found.name != "bfloat16":  # Which torch converts to one pattern or another.
        assert (torch.tensor([torch.nan]).to(found.torch).view(bits) == made.view(bits)).all()


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"]
)
def test_every_nan_of_a_file_is_the_one(dtype: str, reference: bool) -> None:
    (found,) = (entry for entry in FLOATING if entry.name == dtype)
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
        assert set(values.view(bits)[nan].tolist()) <= {nans.PATTERNS[dtype]}
