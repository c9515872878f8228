"""Exact functions: known answers, accuracy, and a second writing of them."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.draws import Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.formulas import pointwise
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Divide,
    Exp,
    Expm1,
    Log,
    Plus,
    Program,
    Reciprocal,
    Scale,
    Softplus,
    Sqrt,
)
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.statistics.expected import expected
from seedpoint.models.stream.apply_transforms import TORCH, apply
from seedpoint.models.verify.soundness import check_program
from tests.support.places import ROOT

CASES = json.loads((ROOT / "tests/golden/pointwise.json").read_text())["cases"]
FUNCTIONS = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "sqrt": np.sqrt,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
    "sin": np.sin,
    "cos": np.cos,
}
FLOATS = st.floats(width=32, allow_nan=False)
# The inverse of softplus of a value drawn in logarithms: a time step of Mamba.
MAMBA = Program(
    Uniform.of(0.0, 1.0),
    (
        *(Scale(math.log(0.1) - math.log(0.001)), Add(math.log(0.001)), Exp(), Clamp(min=1e-4)),
        Plus((Scale(-1.0), Expm1(), Scale(-1.0), Log())),
    ),
)


def bits(values: torch.Tensor) -> list[str]:
    return [f"{value & 0xFFFFFFFF:08x}" for value in values.view(torch.int32).tolist()]


def floats(words: list[str]) -> torch.Tensor:
    return (
        torch.tensor([int(word, 16) - (int(word, 16) >> 31 << 32) for word in words])
        .to(torch.int32)
        .view(torch.float32)
    )


def exp_by_hand(x: float) -> float:
    """The same formulas on Python's own binary64 numbers."""
    x = min(max(x, pointwise.LOWEST), pointwise.HIGHEST)
    n = round(x * pointwise.INVERSE_LN2)
    r = (x - n * pointwise.LN2_HIGH) - n * pointwise.LN2_LOW
    y = pointwise.EXP[0]
    for coefficient in pointwise.EXP[1:]:
        y = y * r + coefficient
    return math.ldexp(y, n) if n < 1024 else math.inf


def log_by_hand(x: float) -> float:
    m, e = math.frexp(x)
    if m < pointwise.SQRT_HALF:
        m, e = m + m, e - 1
    s = (m - 1.0) / (m + 1.0)
    z, y = s * s, pointwise.LOG[0]
    for coefficient in pointwise.LOG[1:]:
        y = y * z + coefficient
    y = y * s
    return e * pointwise.LN2_HIGH + (e * pointwise.LN2_LOW + (y + y))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_known_answers(name: str) -> None:
    given_, expected_ = zip(*CASES[name], strict=True)
    found = getattr(pointwise, name)(floats(list(given_)))
    wanted = floats(list(expected_))
    number = ~torch.isnan(wanted)
    assert torch.equal(torch.isnan(found), ~number)
    assert bits(found[number]) == bits(wanted[number])


def test_the_documented_vectors_are_the_known_answers() -> None:
    text = (ROOT / "docs" / "stream.md").read_text()
    shown = re.findall(r"\| `([a-z0-9]+)` \| `([0-9a-f]{8})` \| `([0-9a-f]{8})` \|", text)
    assert {name for name, _, _ in shown} == set(FUNCTIONS)
    for name, before, after in shown:
        assert [before, after] in CASES[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_result_is_the_nearest_float32(name: str) -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(1)) * 4
    values = values.abs() if name in ("log", "sqrt") else values
    found = getattr(pointwise, name)(values).numpy()
    wanted = FUNCTIONS[name](values.numpy().astype(np.float64)).astype(np.float32)
    assert (found == wanted).all()


@given(FLOATS)
def test_exp_is_these_sums_and_products_and_no_others(x: float) -> None:
    found = pointwise.exp(torch.tensor([x], dtype=torch.float64))
    assert float(found) == exp_by_hand(x)


@given(st.floats(min_value=2.0**-149, max_value=2.0**127, width=32))
def test_log_is_these_sums_and_products_and_no_others(x: float) -> None:
    assert float(pointwise.log(torch.tensor([x], dtype=torch.float64))) == log_by_hand(x)


def sine_by_hand(x: float) -> float:
    n = round(x * pointwise.TWO_OVER_PI)
    r = x
    for part in pointwise.HALF_PI:
        r = r - n * part
    series = pointwise.COS if n % 2 else pointwise.SIN
    y = series[0]
    for coefficient in series[1:]:
        y = y * (r * r) + coefficient
    y = y if n % 2 else y * r
    return -y if n % 4 >= 2 else y


def softplus_by_hand(x: float) -> float:
    t = exp_by_hand(-abs(x))
    s = t / (t + 2.0)
    y = pointwise.LOG1P[0]
    for coefficient in pointwise.LOG1P[1:]:
        y = y * (s * s) + coefficient
    y = y * s
    return max(x, 0.0) + (y + y)


@given(st.floats(min_value=-(2.0**20), max_value=2.0**20))
def test_sin_is_these_sums_and_products_and_no_others(x: float) -> None:
    found = float(pointwise.sin(torch.tensor([x], dtype=torch.float64)))
    assert found == sine_by_hand(x)
    assert found == pytest.approx(math.sin(x), abs=1e-15)


@given(st.floats(min_value=-1000.0, max_value=1000.0))
def test_softplus_is_these_sums_and_products_and_no_others(x: float) -> None:
    found = float(pointwise.softplus(torch.tensor([x], dtype=torch.float64)))
    assert found == softplus_by_hand(x)
    assert found == pytest.approx(float(FUNCTIONS["softplus"](x)), rel=1e-13)


@given(st.floats(min_value=0.0))
def test_sqrt_is_the_nearest_number(x: float) -> None:
    assert float(pointwise.sqrt(torch.tensor([x], dtype=torch.float64))) == math.sqrt(x)


@pytest.mark.parametrize("name", ["sqrt", "softplus", "sin", "cos"])
def test_ends_and_undefined_values_are_those_of_numpy(name: str) -> None:
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3e38])
    with np.errstate(invalid="ignore"):
        wanted = FUNCTIONS[name](values)
    found = getattr(pointwise, name)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found[:5], wanted[:5])


def test_reciprocal_sqrt_and_softplus_are_transforms() -> None:
    values = torch.tensor([0.25, 1.0, 3.0])
    for transform, wanted in (
        (Reciprocal(), 1 / values),
        (Sqrt(), values.sqrt()),
        (Softplus(), torch.nn.functional.softplus(values)),
    ):
        found = values.clone()
        apply((transform,), found, 0, (3,))
        torch.testing.assert_close(found, wanted)
        program = Program(Uniform.of(0.5, 1.0), (transform,))
        assert program_from_json(to_json(program)) == program
        check_program(program, (3,), BY_NAME["float32"])


def test_a_script_takes_pytorchs_own_functions() -> None:
    values = torch.rand(1000, generator=torch.Generator().manual_seed(1)) + 0.1
    for transform, function in TORCH.items():
        found = values.clone()
        apply((transform(),), found, 0, (1000,), TORCH)
        assert torch.equal(found, function(values))


def test_the_inverse_of_softplus_gives_back_its_argument() -> None:
    values = torch.tensor([0.001, 0.01, 0.1, 1.0, 20.0])
    found = values.clone()
    apply((Plus((Scale(-1.0), Expm1(), Scale(-1.0), Log())),), found, 0, (5,))
    torch.testing.assert_close(torch.nn.functional.softplus(found), values)


def test_a_quotient_is_rounded_once() -> None:
    values = torch.tensor([1.0, 2.0, 3.0])
    apply((Divide(3.0),), values, 0, (3,))
    assert values.tolist() == [float(np.float32(v) / np.float32(3)) for v in (1, 2, 3)]


def test_a_stretch_of_a_chain_is_the_chain_of_the_stretch() -> None:
    whole = torch.linspace(0.01, 0.9, 50)
    part = whole[20:30].clone()
    apply(MAMBA.transforms, whole, 0, (50,))
    apply(MAMBA.transforms, part, 20, (50,))
    assert torch.equal(whole[20:30], part)


def test_chains_have_a_json_form_and_are_sound() -> None:
    assert program_from_json(to_json(MAMBA)) == MAMBA
    check_program(MAMBA, (64,), BY_NAME["float32"])
    deep = Program(Uniform.of(0.0, 1.0), (Exp(),))
    for _ in range(40):
        deep = Program(deep.source, (Plus(deep.transforms),))
    with pytest.raises(ValueError, match="nest too deep"):
        check_program(deep, (64,), BY_NAME["float32"])
    with pytest.raises(ValueError, match="floating"):
        check_program(Program(MAMBA.source, (Exp(),)), (64,), BY_NAME["int64"])


def test_what_has_no_closed_form_is_not_expected() -> None:
    assert expected(MAMBA, (64,)).mean is None
