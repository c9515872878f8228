"""Rules that no tensor needs: what matches nothing is a fault, what never wins is warned of."""

from __future__ import annotations

from seedpoint.models.validation.faults import MAX_FAULTS
from tests.support.plans import LINEAR, faults, normal, plan, rule, sequential


def test_a_rule_for_a_checkpoint_without_tensors_is_told_that_there_are_none() -> None:
    told = faults({"type": "ReLU"}, rule({}, {"type": "zeros"}))
    assert told == {"init.rules.0.match": "matches no tensor: the checkpoint has no tensors"}


def test_a_rule_that_never_wins_is_warned_of() -> None:
    found = plan(sequential(LINEAR), rule({}, normal()), rule({"ndim": 2}, normal(2)))
    (warning,) = found.warnings
    assert str(warning) == "SP101: init.rules.1 has no effect: earlier rules win its tensors"


def test_an_optional_rule_may_match_nothing() -> None:
    assert plan(sequential(LINEAR), rule({"name": "x"}, normal(), optional=True)).tensors


def test_of_many_rules_without_a_tensor_the_first_are_told() -> None:
    rules = [rule({"name": f"none.{number}.*"}, normal()) for number in range(MAX_FAULTS + 50)]
    told = faults(LINEAR, *rules)
    assert list(told) == [f"init.rules.{number}.match" for number in range(MAX_FAULTS)]
