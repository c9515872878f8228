"""How many elements overflow their dtype, by program."""

from __future__ import annotations

import math

import pytest
import torch

from models.dtypes import BY_NAME, DTYPES, DType
from models.program import (
    Clamp,
    Constant,
    FillRegion,
    Literal,
    Materialized,
    Normal,
    Program,
    Scale,
    Sparse,
    Uniform,
)
from models.statistics.overflow import overflows

F16 = BY_NAME["float16"]
NARROW = [d for d in DTYPES if d.is_floating and d.itemsize <= 2 and d.name != "float8_e8m0fnu"]


def test_the_count_is_that_of_the_draw() -> None:
    values = torch.empty(300, 500).normal_(0, 1e6, generator=torch.Generator().manual_seed(0))
    seen = values.to(torch.float16).isinf().sum().item()
    assert overflows(Program(Normal.of(0, 1e6)), (300, 500), F16) == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_a_constant_overflows_from_where_it_rounds_past_the_largest_value(dtype: DType) -> None:
    largest = torch.finfo(dtype.torch).max
    assert overflows(Program(Constant(largest)), (3,), dtype) == 0
    assert overflows(Program(Constant(-largest)), (3,), dtype) == 0
    step = torch.finfo(dtype.torch).eps * 2.0 ** (math.frexp(largest)[1] - 1)
    assert overflows(Program(Constant(largest + 0.49 * step)), (3,), dtype) == 0
    assert overflows(Program(Constant(-largest - 0.51 * step)), (3,), dtype) == 3


@pytest.mark.parametrize(
    ("program", "count"),
    [
        (Program(Uniform.of(-131_040.0, 131_040.0)), 50),
        (Program(Normal.of(0, 1e6), (Clamp(-1.0, 1.0),)), 0),
        (Program(Constant(1e3), (Scale(1e3),)), 100),
        (Program(Sparse.of(0.5, 1e9)), 50),
        (Program(Materialized(Program(Constant(1e6)))), 100),
    ],
    ids=str,
)
def test_sources_and_transforms_count(program: Program, count: float) -> None:
    assert overflows(program, (10, 10), F16) == pytest.approx(count, rel=1e-3)


@pytest.mark.parametrize(
    "program",
    [
        Program(Constant(-math.inf)),
        Program(Constant(0.0), (FillRegion(((0, 2, 1), (0, 10, 1)), -math.inf),)),
        Program(Literal("0" * 64, "float32")),
    ],
    ids=str,
)
def test_infinities_that_are_written_are_no_overflow(program: Program) -> None:
    """As masks are: what is expected is not finite, or nothing is."""
    assert overflows(program, (10, 10), F16) == 0


def test_nothing_overflows_in_an_empty_tensor() -> None:
    assert overflows(Program(Constant(1e6)), (0, 3), F16) == 0
