"""Tensors that copies need, planned before the copies."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from tests.models.initializers.test_combined import NORMAL, planned, spec

Rules = dict[str, Any]


def test_a_tensor_is_planned_once_whatever_copies_it() -> None:
    rules = {name: {"type": "copy", "of": "w2"} for name in ("w0", "w1")}
    found = planned(spec({**rules, "w2": NORMAL}))
    assert [tensor.name for tensor in found.plan.tensors] == ["w0", "w1", "w2"]
    assert found.plan.tensors[0].program is found.plan.tensors[0].program
    assert found.plan.tensors[0].program.source.of is found.plan.tensors[2].program


def test_a_fault_of_the_copied_tensor_is_told_once_at_its_own_place() -> None:
    rules = {"w": {"type": "copy", "of": "x"}, "x": {"type": "normal", "std": -1}}
    with pytest.raises(SpecError) as error:
        planned(spec(rules))
    assert [fault.path for fault in error.value.faults] == ["init.rules.1.initializer.std"]


def test_copies_of_copies_end() -> None:
    rules: Rules = {"w0": NORMAL}
    rules |= {f"w{n}": {"type": "copy", "of": f"w{n - 1}"} for n in range(1, 12)}
    reverse = dict(reversed(rules.items()))
    with pytest.raises(SpecError, match="more than 8 deep"):
        planned(spec(reverse))
