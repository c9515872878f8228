"""Closed forms of programs against SciPy and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Constant,
    Dirac,
    Eye,
    FillRegion,
    HardThreshold,
    Literal,
    Materialized,
    Orthogonal,
    Part,
    Program,
    Scale,
    SetElement,
    Sparse,
    Split,
    ZeroRows,
)
from seedpoint.models.statistics.expected import Expected, expected


def of(source, *transforms, shape=(10, 10)):
    return expected(Program(source, transforms), shape)


def assert_near(found, mean, std, kurtosis):
    assert found.mean == pytest.approx(mean, rel=1e-11, abs=1e-11 * std)
    assert found.std == pytest.approx(std, rel=1e-11)
    assert found.kurtosis == pytest.approx(kurtosis, rel=1e-8, abs=1e-8)


def test_a_draw_is_expected_to_have_its_own_arguments():
    assert of(Normal.of(0.0, 0.01)) == Expected(0.0, 0.01, 0.0)
    assert of(Uniform.of(-0.5, 0.5)) == Expected(0.0, 1 / math.sqrt(12), -1.2)
    assert of(TruncNormal.of(0.0, 0.02, -0.04, 0.04)).mean == 0.0


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, -2, 2),
        (0, 0.02, -0.04, 0.04),
        (0.5, 2, -1, 7),
        (0, 1, 3.9, 50),
        (0, 1, -6, -3.9),
        (1, 0.5, -100, 100),
        (0, 1, 0.1, 0.1001),
    ],
)
def test_truncated_normals_have_scipys_moments(mean, std, a, b):
    oracle = scipy.stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    found = of(TruncNormal.of(mean, std, a, b))
    if b - a < 0.001:  # too narrow for SciPy's variance; a uniform law, nearly
        assert found.std == pytest.approx((b - a) / math.sqrt(12), rel=1e-6)
        return
    if b - a > 10:
        assert found.mean == pytest.approx(oracle.mean(), rel=1e-9)
        assert found.std == pytest.approx(oracle.std(), rel=1e-7)
        return
    assert_near(found, oracle.mean(), oracle.std(), float(oracle.stats("k")))


def by_integration(density, support, function, cuts):
    """Mean, std and excess kurtosis of function(x), by adaptive quadrature between cuts."""
    edges = [support[0], *(c for c in sorted(cuts) if support[0] < c < support[1]), support[1]]

    def integral(g):
        return sum(
            scipy.integrate.quad(
                lambda x: g(x) * density(x), a, b, epsabs=1e-13, epsrel=1e-12, limit=200
            )[0]
            for a, b in itertools.pairwise(edges)
        )

    mean = integral(function)
    variance = integral(lambda x: (function(x) - mean) ** 2)
    fourth = integral(lambda x: (function(x) - mean) ** 4)
    return mean, math.sqrt(variance), fourth / variance**2 - 3


DRAWS = {
    "normal": (Normal.of(0.25, 1.5), scipy.stats.norm(0.25, 1.5).pdf, (-13, 13.5)),
    "uniform": (Uniform.of(-2, 3), scipy.stats.uniform(-2, 5).pdf, (-2, 3)),
    "trunc_normal": (
        TruncNormal.of(0, 1, -1, 2.5),
        scipy.stats.truncnorm(-1, 2.5).pdf,
        (-1, 2.5),
    ),
}


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(
    ("transforms", "function", "cuts"),
    [
        ((Scale(-3.0), Add(1.0)), lambda x: -3 * x + 1, ()),
        ((Clamp(-0.5, 1.0),), lambda x: min(max(x, -0.5), 1.0), (-0.5, 1.0)),
        ((Clamp(None, 0.25),), lambda x: min(x, 0.25), (0.25,)),
        ((HardThreshold(1.0),), lambda x: x if abs(x) >= 1 else 0.0, (-1, 1)),
        (
            (Scale(2.0), HardThreshold(1.0), Add(0.5), Clamp(-2.0, 2.0), Scale(0.5)),
            lambda x: min(max((2 * x if abs(2 * x) >= 1 else 0) + 0.5, -2), 2) / 2,
            (-0.5, 0.5, -1.25, 0.75),
        ),
    ],
)
def test_transformed_draws_have_the_moments_of_integration(draw, transforms, function, cuts):
    source, density, support = DRAWS[draw]
    assert_near(of(source, *transforms), *by_integration(density, support, function, cuts))


def test_scaling_keeps_round_numbers_round():
    assert of(Normal.of(0.0, 0.02), Scale(0.5)) == Expected(0.0, 0.01, 0.0)


def test_a_constant_is_exact_and_has_no_spread():
    assert of(Constant(0.1)) == Expected(0.1, 0.0, None, exact=True)
    assert of(Constant(True)) == Expected(1.0, 0.0, None, exact=True)
    assert of(Constant(3), Scale(2.0), Add(1.0)) == Expected(7.0, 0.0, None, exact=True)
    assert of(Normal.of(0.5, 0.0)).exact
    assert of(Uniform.of(0.5, 0.5)).std == 0


@pytest.mark.parametrize("shape", [(4, 4), (3, 9), (9, 2)])
def test_an_identity_has_its_elements_moments(shape):
    values = torch.nn.init.eye_(torch.empty(shape, dtype=torch.float64)).numpy()
    found = of(Eye(), shape=shape)
    assert_near(found, values.mean(), values.std(), scipy.stats.kurtosis(values, None))
    assert found.exact


@pytest.mark.parametrize(("shape", "groups"), [((6, 2, 3), 3), ((4, 8, 3, 3), 1), ((8, 2, 1), 2)])
def test_a_dirac_kernel_has_its_elements_moments(shape, groups):
    values = torch.nn.init.dirac_(torch.empty(shape, dtype=torch.float64), groups).numpy()
    found = of(Dirac(groups), shape=shape)
    assert_near(found, values.mean(), values.std(), scipy.stats.kurtosis(values, None))


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (9, 4), (6, 2, 2)])
def test_an_orthogonal_matrix_has_the_root_mean_square_of_its_smaller_side(shape):
    values = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), gain=1.5)
    found = of(Orthogonal(1.5), Scale(2.0), shape=shape)
    assert found.mean == 0
    assert found.std == pytest.approx(2 * float(values.square().mean().sqrt()), rel=1e-12)
    assert of(Orthogonal(1.0), Clamp(0.0, 1.0)) == Expected()


def test_a_sparse_matrix_mixes_its_exact_number_of_zeros():
    found = of(Sparse.of(0.25, 2.0), shape=(10, 3))
    assert found.mean == 0
    assert found.std == pytest.approx(2 * math.sqrt(0.7))  # ceil(2.5) = 3 of 10 rows are zero


def test_the_parts_of_a_split_mix_by_their_sizes():
    parts = (Part(3, Program(Normal.of(1.0, 2.0))), Part(1, Program(Constant(5.0))))
    found = of(Split(0, parts), shape=(4, 100))
    assert found.mean == pytest.approx(2.0)
    assert found.std == pytest.approx(math.sqrt((3 * (4 + 1) + 25) / 4 - 4))
    assert not found.exact


REGIONS = [
    ZeroRows((0, 3)),
    SetElement((2, 1), 7.0),
    FillRegion(((0, 6, 2), (1, 5, 3)), -2.0),
    Scale(3.0),
    Add(1.0),
    FillRegion(((2, 5, 1), (0, 5, 1)), 4.0),
]


@given(st.lists(st.sampled_from(REGIONS), max_size=6), st.sampled_from([0, 1]))
def test_regions_mix_by_the_elements_they_leave_each_other(transforms, axis):
    shape = (6, 5)
    inner = Program(Constant(9.0), (FillRegion(((1, 3, 1), (0, 2, 1)), 0.5),))
    parts = (Part(3, inner), Part(shape[axis] - 3, Program(Constant(2.0))))
    values = np.empty(shape)
    values[...] = 2.0
    first = values[:3] if axis == 0 else values[:, :3]
    first[...] = 9.0
    first[1:3, 0:2] = 0.5
    for transform in transforms:
        match transform:
            case ZeroRows(rows=rows):
                values[list(rows)] = 0
            case SetElement(index=index, value=value):
                values[index] = value
            case FillRegion(region=region, value=value):
                values[tuple(slice(*part) for part in region)] = value
            case Scale(value=value):
                values *= value
            case Add(value=value):
                values += value
    found = expected(Program(Split(axis, parts), tuple(transforms)), shape)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
    assert found.std == pytest.approx(values.std(), rel=1e-12, abs=1e-12)
    assert found.exact


@pytest.mark.parametrize(
    ("program", "shape"),
    [
        (Program(Literal("0" * 64, "float32")), (4,)),
        (Program(Constant(1j)), (4,)),
        (Program(Constant(math.inf)), (4,)),
        (Program(Constant(math.nan)), (4,)),
        (Program(Normal.of(0, 1), (FillRegion(((0, 2, 1),), -math.inf),)), (4,)),
        (Program(Eye(), (ZeroRows((0,)),)), (4, 4)),
        (Program(Normal.of(0, 1)), (0, 3)),
        (Program(Materialized(Program(Literal("0" * 64, "float32")))), (4,)),
    ],
)
def test_nothing_is_expected_without_a_closed_form(program, shape):
    assert expected(program, shape) == Expected()


def test_materialized_tensors_are_expected_to_be_what_they_were_drawn_from():
    assert of(Materialized(Program(Normal.of(0.0, 2.0)))) == Expected(0.0, 2.0, 0.0)


def test_padding_rows_lower_the_std_of_an_embedding():
    found = of(Normal.of(0.0, 1.0), ZeroRows((0,)), shape=(100, 8))
    assert found.std == pytest.approx(math.sqrt(0.99))
