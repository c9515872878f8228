"""Verdicts on values that are not finite: overflow fails, unless the program writes infinities."""

from __future__ import annotations

import math

import pytest
import torch

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.plan.program import (
    Constant,
    FillRegion,
    Literal,
    Program,
    Scale,
)
from seedpoint.models.statistics.accumulator import MEASURED, TensorAccumulator
from seedpoint.models.statistics.verdict import judge
from tests.support.judged import judged, normal

MASKED = Program(Constant(0.0), (FillRegion(((2, 4, 1), (0, 4, 1)), -math.inf),))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_fails_where_finite_ones_are_expected(bad):
    values = normal(100)
    values[7] = bad
    verdict = judged(values, Program(Normal.of(0, 1)))
    assert verdict["pass"] is False
    assert verdict["z"] == {"mean": None, "std": None}


@pytest.mark.parametrize(
    ("dtype", "std"),
    [
        ("float16", 40_000.0),
        ("float16", 1e6),
        ("bfloat16", 2e38),
        ("float32", 2e38),
        ("float8_e5m2", 1e5),
        ("float8_e4m3fnuz", 300.0),
    ],
)
def test_draws_that_overflow_their_dtype_fail(dtype, std):
    verdict = judged(normal(1000, std=400.0), Program(Normal.of(0, 400.0)), BY_NAME["float16"])
    assert verdict["pass"] is True
    verdict = judged(normal(1000, std=std), Program(Normal.of(0, std)), BY_NAME[dtype])
    assert verdict["pass"] is False
    assert verdict["z"] == {"mean": None, "std": None}


@pytest.mark.parametrize(
    ("dtype", "program"),
    [
        ("float16", Program(Constant(1e6))),
        ("float8_e5m2", Program(Constant(-1e6))),
        ("float8_e8m0fnu", Program(Constant(3.4e38))),
        ("float32", Program(Constant(1e30), (Scale(1e30),))),
    ],
)
def test_a_constant_that_overflows_its_dtype_fails(dtype, program):
    values = torch.full((4, 5), program.source.value)
    values = values * 1e30 if program.transforms else values
    assert judged(values, program, BY_NAME[dtype])["pass"] is False


def test_a_single_overflow_of_a_draw_that_may_overflow_fails():
    values = normal(1000, std=16_000.0).clamp(-6e4, 6e4)
    program = Program(Normal.of(0, 16_000.0))
    values[7] = 7e4
    assert judged(values, program, BY_NAME["float16"])["pass"] is False


def test_what_saturates_where_its_dtype_does_is_as_the_program_gives_it():
    """PyTorch converts to float8_e4m3fn with saturation, in releases of today."""
    dtype = BY_NAME["float8_e4m3fn"]
    if not torch.tensor(1e6).to(dtype.torch).float().isfinite():
        pytest.skip("this release does not saturate")
    values = normal(300, 500, std=400.0)
    assert judged(values, Program(Normal.of(0, 400.0)), dtype)["pass"] is True
    assert judged(values, Program(Normal.of(0, 200.0)), dtype)["pass"] is False


def test_infinities_that_a_transform_writes_are_not_judged():
    values = torch.zeros(4, 4)
    values[2:] = -math.inf
    assert judged(values, MASKED)["pass"] is None


def test_a_constant_infinity_is_known_in_every_element():
    values = torch.full((4, 4), -math.inf)
    program = Program(Constant(-math.inf))
    assert judged(values, program)["pass"] is True
    values[1, 1] = 0.0
    assert judged(values, program)["pass"] is False


def test_an_empty_tensor_is_not_judged():
    nothing = TensorAccumulator(0, BY_NAME["float16"]).result()
    assert judge(Program(Constant(1e6)), (0, 3), BY_NAME["float16"], nothing)["pass"] is None


@pytest.mark.parametrize(
    ("program", "dtype"),
    [
        (Program(Literal("0" * 64, "float32")), "float32"),
        (Program(Constant(3)), "int64"),
        (Program(Constant(True)), "bool"),
        (Program(Constant(-math.inf)), "float32"),
        (Program(Normal.of(0, 1)), "float8_e8m0fnu"),
    ],
)
def test_nothing_is_judged_where_nothing_is_expected(program, dtype):
    observed = dict.fromkeys(MEASURED)
    verdict = judge(program, (4,), BY_NAME[dtype], observed)
    assert verdict["z"] == {"mean": None, "std": None}
    assert verdict["pass"] is None
