"""The log-uniform draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from seedpoint.models.draws import LogUniform
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics.expected import expected
from seedpoint.models.stream import cpu, reference
from tests.models.draws.contract import KEY, DrawContract


class TestLogUniform(DrawContract):
    kind = LogUniform
    arguments = (1e-6, 0.1)
    law = stats.loguniform(1e-6, 0.1)
    refused = (
        ("positive float32", (0.0, 1.0)),
        ("positive float32", (-1.0, 1.0)),
        ("positive float32", (1e-46, 1.0)),
        ("positive float32", (1.0, 1e39)),
        ("positive float32", (math.nan, 1.0)),
        ("needs a < b", (1.0, 1.0)),
        ("needs a < b", (2.0, 1.0)),
    )


EXTREMES = [(1e-45, 3.4e38), (1e-40, 1e-39), (1.0, 2.0), (0.5, 0.5000001), (3e37, 3.3e38)]


def streamed(draw: LogUniform, size: int = 1 << 16) -> np.ndarray:
    out = np.empty(size, np.float32)
    cpu.fill("log_uniform", out, KEY, 0, 0, draw.f32)
    return out


@pytest.mark.parametrize(("a", "b"), EXTREMES)
def test_values_stay_inside_their_bounds(a: float, b: float) -> None:
    values = streamed(LogUniform.of(a, b))
    assert values.min() >= np.float32(a)
    assert values.max() <= np.float32(b)


@pytest.mark.parametrize(("a", "b"), [(1e-6, 0.1), (1.0, 2.0), (1e-30, 1e30), (3e37, 3.3e38)])
def test_values_are_the_exponentials_of_their_words_in_binary64(a: float, b: float) -> None:
    u = (reference.words(KEY, 0, 0, 1 << 16) >> 8).numpy() * 2.0**-24
    expected = np.exp(u * (math.log(b) - math.log(a)) + math.log(a))
    largest = max(abs(math.log(a)), abs(math.log(b)))
    np.testing.assert_allclose(streamed(LogUniform.of(a, b)), expected, rtol=largest * 2.0**-22)


def test_values_are_exp_of_the_uniform_draw_of_the_same_stream() -> None:
    draw = LogUniform.of(0.5, 8.0)
    exponents = reference.uniform(KEY, 0, 0, 1 << 16, draw.f32[:2])
    nearest = torch.exp(exponents.double()).float().clamp(0.5, 8.0)
    assert torch.equal(torch.from_numpy(streamed(draw)), nearest)


@pytest.mark.parametrize("f32", [(800.0, -400.0), (3e38, 0.0), (-1e30, 5.0), (1e-45, -104.0)])
def test_any_constants_of_a_plan_give_the_same_bits_by_kernel_and_reference(
    f32: tuple[float, float],
) -> None:
    constants = (*f32, 0.0, math.inf)
    out = np.empty(5000, np.float32)
    cpu.fill("log_uniform", out, KEY, 0, 0, constants)
    expected = reference.log_uniform(KEY, 0, 0, 5000, constants).numpy()
    assert (out.view(np.uint32) == expected.view(np.uint32)).all()


@pytest.mark.parametrize(("a", "b"), [(1e-6, 0.1), (1.0, 2.0), (1e-30, 1e30)])
def test_the_mean_and_std_expected_are_scipys(a: float, b: float) -> None:
    law, found = stats.loguniform(a, b), expected(Program(LogUniform.of(a, b)), (4, 4))
    assert (found.mean, found.std) == pytest.approx((law.mean(), law.std()), rel=1e-12)


def test_pytorch_draws_what_a_script_writes() -> None:
    value = torch.empty(64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        LogUniform.of(0.001, 0.1).fill(value)
        torch.manual_seed(5)
        script = torch.exp(torch.empty(64).uniform_(math.log(0.001), math.log(0.1)))
    assert torch.equal(value, script)


def test_numpy_draws_what_a_script_writes() -> None:
    values = LogUniform.of(0.001, 0.1).sample(np.random.RandomState(5), (8, 8))
    exponents = np.random.RandomState(5).uniform(math.log(0.001), math.log(0.1), (8, 8))
    assert (values == np.exp(exponents)).all()
