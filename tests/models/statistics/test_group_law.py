"""Probabilities of converted elements: continuous laws, and values of narrow dtypes."""

from __future__ import annotations

import pytest

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.plan.program import Clamp
from seedpoint.models.statistics.distribution import Law
from seedpoint.models.statistics.group_law import group_law

LAWS = {
    "normal": Law.of(Normal.of(0.1, 0.5)),
    "uniform": Law.of(Uniform.of(-0.3, 0.2)),
    "truncated": Law.of(TruncNormal.of(0.0, 1.0, -0.5, 1.5)),
    "clamped": Law.of(Normal.of(0.0, 1.0)).transformed(Clamp(-0.5, 2.0)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_tails_and_bins_of_a_law_add_up(law, dtype):
    found = group_law(law, BY_NAME[dtype])
    ends = (-0.26, 0.17)
    below, _ = found.tails(ends[0], ends[0], upper=False)
    above, _ = found.tails(ends[1], ends[1], upper=True)
    shares, inside = found.shares(*ends, 8)
    assert inside == pytest.approx(shares.sum())
    assert below + above + inside == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_narrow_values_are_as_far_out_as_the_law_but_for_rounding(law):
    exact = group_law(law, BY_NAME["float32"]).tails(0.1, 0.15, upper=True)
    narrow = group_law(law, BY_NAME["bfloat16"]).tails(0.1, 0.15, upper=True)
    assert narrow == pytest.approx(exact, abs=2e-3)


def test_only_bounds_and_narrow_values_are_atoms():
    clamped, plain = LAWS["clamped"], LAWS["normal"]
    assert group_law(clamped, BY_NAME["float32"]).at(-0.5) == pytest.approx(0.308538, abs=1e-6)
    assert group_law(clamped, BY_NAME["float32"]).at(0.0) == 0.0
    assert group_law(plain, BY_NAME["float32"]).at(0.0) == 0.0
    assert group_law(plain, BY_NAME["float8_e4m3fn"]).at(0.5) > 0.01
