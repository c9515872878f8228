"""Faults of many tensors: each cause once, with a count."""

from __future__ import annotations

from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.planning.fault_tally import FaultTally


def test_a_cause_is_one_fault_that_counts_its_tensors() -> None:
    tally = FaultTally()
    for layer in range(3):
        name = f"layers.{layer}.weight"
        message = f"'{name}': unknown name 'n'; known names: fan_in, layer_{layer}"
        tally.add(SpecError([Fault("init.rules.0", message)]), name)
    tally.add(SpecError([Fault("init.rules.1", "'bias': no fans")]), "bias")
    first = "'layers.0.weight': unknown name 'n'; known names: fan_in, layer_0"
    assert list(tally.faults()) == [
        Fault("init.rules.0", f"{first} (and 2 more tensors)"),
        Fault("init.rules.1", "'bias': no fans"),
    ]
