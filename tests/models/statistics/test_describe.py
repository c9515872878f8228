"""Descriptions of plans for people and clients."""

from __future__ import annotations

from seedpoint.models.draws import Normal
from seedpoint.models.plan.program import Program, Scale
from seedpoint.models.statistics.describe import describe_program, describe_tensors, totals
from tests.support.plans import LINEAR, normal, plan, rule


def test_a_program_is_shown_without_the_streams_own_constants() -> None:
    shown = describe_program(Program(Normal.of(0.0, 0.1), (Scale(2.0),)))
    assert shown == {
        "type": "normal",
        "mean": 0.0,
        "std": 0.1,
        "transforms": [{"type": "scale", "value": 2.0}],
    }


def test_tensors_are_shown_with_what_is_expected_of_them() -> None:
    made = plan(LINEAR, rule({"name": "weight"}, normal(0.5)))
    weight = next(t for t in describe_tensors(made) if t["name"] == "weight")
    assert weight["expected"] == {"mean": 0.0, "std": 0.5}
    assert (weight["shape"], weight["rule"], weight["fan_in"]) == ([6, 4], 0, 4)


def test_totals_count_elements_and_bytes_by_dtype() -> None:
    made = plan(LINEAR, dtype={"default": "bfloat16", "rules": []})
    assert totals(made) == {
        "tensors": 2,
        "parameters": 30,
        "buffers": 0,
        "bytes": 60,
        "by_dtype": {"BF16": 60},
    }
