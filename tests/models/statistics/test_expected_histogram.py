"""Expected histograms, against those of drawn values and against the normal law itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Clamp,
    Constant,
    HardThreshold,
    Orthogonal,
    Part,
    Program,
    Scale,
    Split,
    ZeroRows,
)
from seedpoint.models.statistics.accumulator import TensorAccumulator
from seedpoint.models.statistics.expected_histogram import expected_shares
from seedpoint.models.statistics.histogram import BINS

SHAPE = (1 << 9, 1 << 10)
NORMAL = Program(Normal.of(0.1, 0.5))


def test_the_shares_of_a_normal_law_are_its_distribution_function_s() -> None:
    shares = expected_shares(NORMAL, SHAPE, BY_NAME["float32"], -1.0, 2.0, 12)
    exact = np.diff(stats.norm(0.1, 0.5).cdf(np.linspace(-1, 2, 13)))
    assert shares == pytest.approx(exact, rel=1e-9)


def test_a_scale_below_zero_mirrors() -> None:
    mirrored = Program(NORMAL.source, (Scale(-2.0),))
    shares = expected_shares(mirrored, SHAPE, BY_NAME["float32"], -4.0, 2.0, 12)
    plain = expected_shares(NORMAL, SHAPE, BY_NAME["float32"], -1.0, 2.0, 12)
    assert plain is not None
    assert shares == pytest.approx(plain[::-1])


@pytest.mark.parametrize(
    "program",
    [
        NORMAL,
        Program(Uniform.of(-0.3, 0.2)),
        Program(TruncNormal.of(0.0, 1.0, -0.5, 1.5)),
        Program(Normal.of(0.0, 1.0), (Clamp(-0.5, 2.0),)),
        Program(Normal.of(0.0, 1.0), (HardThreshold(0.4),)),
        Program(Normal.of(0.0, 1.0), (ZeroRows((0, 1, 2, 3, 4, 5, 6, 7)),)),
        Program(
            Split(
                0,
                (
                    Part(128, Program(Normal.of(0.0, 1.0))),
                    Part(384, Program(Uniform.of(1.0, 2.0))),
                ),
            )
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float8_e4m3fn"])
def test_drawn_values_fall_where_they_are_expected(program: Program, dtype: str) -> None:
    tensor = PlanTensor("weight", SHAPE, BY_NAME[dtype], "parameter", "Linear", program)
    evaluator = Evaluator(Plan(1, "philox-v1", {}, (tensor,)))
    found = TensorAccumulator(tensor.numel, tensor.dtype)
    evaluator.fill(0, 0, tensor.numel, np.empty(tensor.nbytes, np.uint8), found)
    counted = found.result()["histogram"]
    ends = (counted["min"], counted["max"], BINS)
    shares = expected_shares(program, SHAPE, tensor.dtype, *ends)
    assert shares is not None
    expected = np.array(shares) * counted["sampled"]
    off = np.abs(np.cumsum(counted["bins"]) - np.cumsum(expected))
    # The largest gap between two distributions of so many values is rarely 2 / sqrt(n).
    assert off.max() < 3 * math.sqrt(counted["sampled"])


@pytest.mark.parametrize(
    ("program", "dtype", "low", "high"),
    [
        (Program(Orthogonal(1.0)), "float32", -1.0, 1.0),
        (NORMAL, "int32", -1.0, 1.0),
        (Program(Constant(2.0)), "float32", 2.0, 2.0),
        (NORMAL, "float8_e8m0fnu", 0.5, 1.0),
    ],
    ids=str,
)
def test_nothing_is_expected_where_there_is_no_law(
    program: Program, dtype: str, low: float, high: float
) -> None:
    assert expected_shares(program, (8, 8), BY_NAME[dtype], low, high, BINS) is None


def test_bins_far_from_the_law_are_empty() -> None:
    shares = expected_shares(NORMAL, SHAPE, BY_NAME["float32"], 1e30, 1e38, 4)
    assert shares == pytest.approx(np.zeros(4))
