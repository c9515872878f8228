"""The z-scores: right tensors pass at any size and in any dtype, wrong ones fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seedpoint.models.draws import LogUniform, Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME, DTYPES
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Constant,
    Eye,
    FillRegion,
    HardThreshold,
    Orthogonal,
    Part,
    Program,
    Scale,
    SetElement,
    Sparse,
    Split,
    ZeroRows,
)
from seedpoint.models.statistics.accumulator import TensorAccumulator
from seedpoint.models.statistics.forecast import forecast
from seedpoint.models.statistics.tensor_law import tensor_law
from seedpoint.models.statistics.verdict import LIMIT, judge
from seedpoint.models.stream import cpu
from tests.support.judged import F32, judged, normal

FLOATS = [d for d in DTYPES if d.is_floating and d.name != "float8_e8m0fnu"]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.02), (0.0, 0.7), (1.0, 0.01), (-3.0, 1.0)])
def test_a_right_normal_tensor_passes_in_every_dtype(dtype, mean, std):
    """Also where rounding makes the std half again as large, or nothing of it."""
    verdict = judged(normal(1500, 1000, mean=mean, std=std), Program(Normal.of(mean, std)), dtype)
    assert verdict["pass"] is True
    assert verdict["expected"] == {"mean": mean, "std": std}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_right_uniform_tensor_passes_in_every_dtype(dtype):
    values = torch.empty(1000, 1000).uniform_(
        -0.07, 0.05, generator=torch.Generator().manual_seed(1)
    )
    assert judged(values, Program(Uniform.of(-0.07, 0.05)), dtype)["pass"]


def test_a_right_uniform_tensor_passes_without_a_value_that_rounds_to_zero():
    """Such a tensor has a probability of exp(-15), well above that of a false alarm."""
    values = torch.empty(2_000_000).uniform_(generator=torch.Generator().manual_seed(1))
    values = values.clamp(min=2.0**-16)  # the least float8_e5m2 above zero
    assert judged(values, Program(Uniform.of(0, 1)), BY_NAME["float8_e5m2"])["pass"]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -0.3, 100.0])
def test_a_constant_passes_exactly_as_its_dtype_rounds_it(dtype, value):
    values = torch.full((30, 7), value, dtype=torch.float64 if dtype.itemsize == 8 else None)
    verdict = judged(values, Program(Constant(value)), dtype)
    assert verdict["pass"] is True
    assert verdict["z"] == {"mean": 0.0, "std": 0.0}
    assert verdict["expected"] == {"mean": value, "std": 0.0}


@pytest.mark.parametrize("wrong", [math.nextafter(0.1, 1), 0.1 + 1e-7])
def test_a_constant_off_by_its_last_bit_fails(wrong):
    dtype = BY_NAME["float64"]
    values = torch.full((4,), 0.1, dtype=torch.float64)
    assert judged(values, Program(Constant(0.1)), dtype)["pass"]
    values[2] = wrong
    verdict = judged(values, Program(Constant(0.1)), dtype)
    assert verdict["pass"] is False
    assert verdict["z"] == {"mean": None, "std": None}


def test_transformed_constants_are_known_to_the_last_bit():
    program = Program(Constant(0.1), (Scale(3.0), Add(0.75)))
    single = torch.full((5,), 0.1).mul(3.0).add(torch.tensor(0.75))
    assert judged(single, program)["pass"]
    double = torch.full((5,), 0.1, dtype=torch.float64).mul(3.0).add(0.75)
    assert judged(double, program, BY_NAME["float64"])["pass"]
    assert not judged(double.float().double(), program, BY_NAME["float64"])["pass"]


def test_a_std_two_percent_off_fails_at_256_by_256():
    program = Program(Normal.of(0.0, 0.02))
    assert judged(normal(256, 256, std=0.02), program)["pass"]
    assert not judged(normal(256, 256, std=0.0204), program)["pass"]
    assert not judged(normal(256, 256, std=0.0196), program)["pass"]


def test_a_std_one_percent_off_fails_at_768_by_768():
    """At 256 by 256 it is 3.6 standard errors of a normal sample: not to be told from luck."""
    program = Program(Normal.of(0.0, 0.02))
    for seed in range(5):
        assert not judged(normal(768, 768, std=0.0202, seed=seed), program)["pass"]
        assert not judged(normal(768, 768, std=0.0198, seed=seed), program, BY_NAME["bfloat16"])[
            "pass"
        ]


def test_a_shifted_mean_fails():
    program = Program(Normal.of(0.0, 0.02))
    assert not judged(normal(256, 256, mean=0.001, std=0.02), program)["pass"]


def test_another_law_fails_although_it_looks_alike():
    kaiming = math.sqrt(6 / 256)
    values = torch.empty(256, 256).uniform_(-kaiming, kaiming)
    assert judged(values, Program(Uniform.of(-kaiming, kaiming)))["pass"]
    assert not judged(values, Program(Normal.of(0.0, math.sqrt(1 / 256))))["pass"]


def test_zeros_in_place_of_a_draw_fail_even_in_a_small_bias():
    for size in (20, 64):
        assert judged(torch.zeros(size), Program(Normal.of(0, 1)))["pass"] is False
    assert judged(torch.zeros(10), Program(Uniform.of(-1, 1)))["pass"] is False


def with_outlier(values):
    values[3, 4] = 500.0
    return values


ROWS = tuple(range(0, 300, 3))
TRANSFORMED = [
    (Program(Normal.of(0, 1), (Clamp(-1.0, 2.0),)), lambda x: x.clamp(-1, 2)),
    (Program(Normal.of(0, 1), (HardThreshold(1.0),)), lambda x: x * (x.abs() >= 1)),
    (Program(Normal.of(0, 1), (Scale(0.3), Add(5.0))), lambda x: x * 0.3 + 5),
    (
        Program(Normal.of(0, 1), (ZeroRows(ROWS),)),
        lambda x: x.index_fill(0, torch.tensor(ROWS), 0.0),
    ),
    (
        Program(Normal.of(0, 1), (FillRegion(((0, 300, 2), (0, 300, 1)), 3.0), Scale(2.0))),
        lambda x: 2 * x.index_fill(0, torch.arange(0, 300, 2), 3.0),
    ),
    (Program(Normal.of(0, 1), (SetElement((3, 4), 500.0),)), with_outlier),
]


@pytest.mark.parametrize(("program", "transform"), TRANSFORMED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_transformed_draws_pass_and_untransformed_ones_fail(program, transform, dtype):
    values = normal(300, 300, seed=4)
    assert judged(transform(values.clone()), program, BY_NAME[dtype])["pass"] is not False
    assert judged(values, program, BY_NAME[dtype])["pass"] is not True


def test_the_parts_of_a_split_vary_each_by_its_own_law():
    parts = (Part(100, Program(Normal.of(0.0, 3.0))), Part(100, Program(Constant(10.0))))
    program = Program(Split(0, parts))
    for seed in range(20):
        values = torch.cat([normal(100, 50, std=3.0, seed=seed), torch.full((100, 50), 10.0)])
        verdict = judged(values, program)
        assert verdict["pass"]
        assert abs(verdict["z"]["mean"]) < 4  # of the drawn half alone
    values[150, 20] = 12.0
    values[:100] *= 1.2
    assert not judged(values, program)["pass"]


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (40, 5), (64, 64), (16, 4, 3, 3)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_an_orthogonal_matrix_passes(shape, dtype):
    program = Program(Orthogonal(2.0))
    for seed in range(10):
        torch.manual_seed(seed)
        values = torch.nn.init.orthogonal_(torch.empty(shape), gain=2.0)
        assert judged(values, program, BY_NAME[dtype])["pass"]
    if len(values) > 1:  # a single element is 2 or -2
        assert not judged(1.05 * values, program, BY_NAME[dtype])["pass"]


@pytest.mark.parametrize(
    ("dtype", "gain", "scale"),
    [
        ("float8_e4m3fn", 3000.0, 1.0),  # saturates
        ("float8_e4m3fn", 30.0, 100.0),
        ("float8_e8m0fnu", 1.0, 1.0),
    ],
)
def test_an_orthogonal_matrix_past_what_its_dtype_holds_is_not_judged(dtype, gain, scale):
    torch.manual_seed(0)
    values = scale * torch.nn.init.orthogonal_(torch.empty(64, 64), gain=gain)
    converted = values.to(BY_NAME[dtype].torch).float()
    if not converted.isfinite().all():
        pytest.skip("this release does not saturate")
    assert (
        judged(values, Program(Orthogonal(gain), (Scale(scale),)), BY_NAME[dtype])["pass"] is None
    )


@pytest.mark.parametrize(("dtype", "gain"), [("float8_e4m3fn", 448.0), ("float16", 65504.0)])
def test_an_orthogonal_matrix_within_what_its_dtype_holds_is_judged(dtype, gain):
    torch.manual_seed(0)
    values = torch.nn.init.orthogonal_(torch.empty(64, 64), gain=gain)
    assert judged(values, Program(Orthogonal(gain)), BY_NAME[dtype])["pass"] is True


@pytest.mark.parametrize("dtype", ["float16", "float8_e5m2"])
def test_an_orthogonal_matrix_with_infinities_fails(dtype):
    torch.manual_seed(0)
    values = torch.nn.init.orthogonal_(torch.empty(64, 64), gain=3e6)
    assert judged(values, Program(Orthogonal(3e6)), BY_NAME[dtype])["pass"] is False


def test_sparse_and_identity_tensors_pass():
    torch.manual_seed(0)
    sparse = torch.nn.init.sparse_(torch.empty(100, 100), 0.3, std=0.5)
    assert judged(sparse, Program(Sparse.of(0.3, 0.5)))["pass"]
    assert judged(torch.eye(30), Program(Eye()))["pass"]
    assert not judged(torch.eye(30)[:, torch.randperm(30)] * 2, Program(Eye()))["pass"]


def test_a_mean_far_above_the_std_is_allowed_the_rounding_of_float32():
    values = (normal(2000, 1000).double() * 1.0 + 1e6).float()
    assert judged(values, Program(Normal.of(1e6, 1.0)))["pass"]


SMALL = {
    "normal": Program(Normal.of(0, 1)),
    "uniform": Program(Uniform.of(-1, 1)),
    "relu": Program(Normal.of(0, 1), (Clamp(0.0, None),)),
    "rare": Program(Normal.of(0, 1), (HardThreshold(2.5),)),
    "tail": Program(TruncNormal.of(0, 1, 2, 6)),
}


def draw(program, generator, shape):
    """Samples of a program by NumPy: an independent generator and formula."""
    source = program.source
    if isinstance(source, Uniform):
        return generator.uniform(source.low, source.high, shape)
    values = generator.standard_normal(shape)
    if isinstance(source, TruncNormal):
        p = generator.uniform(math.erf(2 / math.sqrt(2)), math.erf(6 / math.sqrt(2)), shape)
        values = torch.erfinv(torch.from_numpy(p)).numpy() * math.sqrt(2)
    for transform in program.transforms:
        if isinstance(transform, Clamp):
            values = np.maximum(values, 0)
        else:
            values = np.where(np.abs(values) >= transform.value, values, 0)
    return values


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [1, 2, 5, 10, 20, 40, 100, 300, 1000, 3000])
def test_small_right_tensors_raise_no_false_alarm(name, size):
    """The ten of 100,000 tensors of each kind and size that are farthest out on either side."""
    program, shape = SMALL[name], (size,)
    law = tensor_law(program, shape, F32)
    foreseen, expected = law.forecast, law.sums
    count = min(100_000, 10_000_000 // size)
    values = draw(program, np.random.default_rng(size), (count, size))
    y = (values - foreseen.mean) / foreseen.std
    slack = size * foreseen.slack / foreseen.std
    for total, totals in ((expected.first, y.sum(1)), (expected.second, (y**2).sum(1))):
        ranked = np.sort(totals)
        for found in [*ranked[:10], *ranked[-10:]]:
            assert abs(total.score(found, 3 * slack)) <= LIMIT
        assert (totals.std() / total.error) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    "source",
    [
        Normal.of(0, 0.02),
        Uniform.of(-0.03, 0.03),
        TruncNormal.of(0, 0.02, -0.04, 0.04),
        TruncNormal.of(0, 1, 3.9, 6),
        LogUniform.of(1e-6, 0.1),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_streams_own_draws_pass(source, dtype):
    size = 1 << 22
    accumulator = TensorAccumulator(size, BY_NAME[dtype])
    values = np.empty(size, np.float32 if dtype == "float32" else np.uint16)
    cpu.fill(source.type, values, (11, 12), 0, 0, source.f32)
    accumulator.add_block(0, values)
    observed, counted = accumulator.result(), accumulator.histogram
    assert judge(Program(source), (size,), BY_NAME[dtype], observed, counted=counted)["pass"]


@pytest.mark.parametrize("source", [Normal.of(0, 0.02), Uniform.of(0, 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_rounding_may_shift_stays_below_sampling_at_a_hundred_billion(source, dtype):
    foreseen = forecast(Program(source), (100_000, 1_000_000), BY_NAME[dtype])
    assert foreseen.mean_slack < foreseen.mean_error
    assert foreseen.std_slack < foreseen.std_error
