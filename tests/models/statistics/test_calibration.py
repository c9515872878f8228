"""A sample of the calibration: right tensors pass, and every fault that is told of is seen."""

from __future__ import annotations

import pytest

from benchmarks.verdicts import FAULTS, calibrate, plant


def test_no_right_tensor_fails():
    verdicts, failed, highest = calibrate(700)
    assert failed == []
    assert verdicts[True] > 600
    assert set(highest) >= {"mean", "std", "kurtosis", "extremes", "histogram", "rows"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name} {fault.shape}")
def test_a_planted_fault_is_seen(fault):
    seen, criteria = plant(fault, 2)
    assert seen == 2
    assert criteria
