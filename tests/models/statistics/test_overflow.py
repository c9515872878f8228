"""The number of elements that overflow their dtype, by program."""

from __future__ import annotations

import math

import pytest
import torch

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME, DTYPES, DType
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Constant,
    Eye,
    FillRegion,
    Literal,
    Materialized,
    Orthogonal,
    Part,
    Program,
    Scale,
    Sparse,
    Split,
)
from seedpoint.models.statistics.overflow import overflowing, overflows

F16 = BY_NAME["float16"]
NARROW = [d for d in DTYPES if d.is_floating and d.itemsize <= 2 and d.name != "float8_e8m0fnu"]


def test_the_count_is_that_of_the_draw() -> None:
    values = torch.empty(300, 500).normal_(0, 1e6, generator=torch.Generator().manual_seed(0))
    seen = values.to(torch.float16).isinf().sum().item()
    assert overflows(Program(Normal.of(0, 1e6)), (300, 500), F16) == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_a_constant_overflows_from_where_it_rounds_past_the_largest_value(dtype: DType) -> None:
    largest = dtype.limits.max
    assert overflows(Program(Constant(largest)), (3,), dtype) == 0
    assert overflows(Program(Constant(-largest)), (3,), dtype) == 0
    step = dtype.limits.eps * 2.0 ** (math.frexp(largest)[1] - 1)
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
    """Masks, for example: the expected value is not finite, or there is none."""
    assert overflows(program, (10, 10), F16) == 0


@pytest.mark.parametrize("dtype", ["float16", "float8_e5m2"])
@pytest.mark.parametrize("shape", [(64, 64), (96, 40), (20, 8, 5)])
def test_an_orthogonal_tensor_overflows_as_its_entries_do(
    shape: tuple[int, ...], dtype: str
) -> None:
    torch.manual_seed(0)
    values = torch.nn.init.orthogonal_(torch.empty(shape), gain=300_000.0)
    seen = values.to(BY_NAME[dtype].torch).isinf().sum().item()
    found = overflows(Program(Orthogonal(300_000.0)), shape, BY_NAME[dtype])
    assert found == pytest.approx(seen, rel=0.2)


@pytest.mark.parametrize(
    ("program", "count"),
    [
        (Program(Orthogonal(1.0), (Add(1e5),)), 100),
        (Program(Materialized(Program(Orthogonal(1.0), (Add(1e5),)))), 100),
        (Program(Orthogonal(-1e300)), 100),
        (Program(Orthogonal(65_504.0)), 0),
        (Program(Orthogonal(1e6), (Scale(0.01),)), 0),
        (Program(Split(0, (Part(6, Program(Orthogonal(1e30))), Part(4, Program(Eye()))))), 60),
        (Program(Split(0, (Part(5, Program(Orthogonal(6e4))),) * 2)), 0),
    ],
    ids=str,
)
def test_transforms_and_parts_of_orthogonal_count(program: Program, count: float) -> None:
    assert overflows(program, (10, 10), F16) == pytest.approx(count, rel=1e-3)


def test_draws_in_float64_overflow_as_the_float32_they_are_made_in() -> None:
    def named(program: Program) -> dict[DType, list[str]]:
        tensor = PlanTensor("w", (4, 2), BY_NAME["float64"], "parameter", "Linear", program)
        return overflowing([tensor])

    assert named(Program(Normal.of(0, 3e38))) == {BY_NAME["float32"]: ["w"]}
    assert named(Program(Orthogonal(1e300))) == {BY_NAME["float32"]: ["w"]}
    assert named(Program(Normal.of(0, 1e30))) == {}
    assert named(Program(Constant(1e300))) == {}
    assert named(Program(Materialized(Program(Normal.of(0, 3e38))))) == {}  # NumPy's are float64


def test_nothing_overflows_in_an_empty_tensor() -> None:
    assert overflows(Program(Constant(1e6)), (0, 3), F16) == 0
    assert overflows(Program(Orthogonal(1e6)), (0, 3), F16) == 0
