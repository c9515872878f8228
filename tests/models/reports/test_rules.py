"""Specs that users' reports led to: rules, their criteria, warnings and messages."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.places import ROOT

TIMM = pytest.mark.skipif(not find_spec("timm"), reason="timm is not installed")
FOLDER = ROOT / "tests" / "reports"


def report(number: int) -> Any:
    (path,) = FOLDER.glob(f"{number:02}-*.json")
    return json.loads(path.read_text())


def planned(document: Any) -> Planned:
    return make_plan(parse_spec(document))


def plan_of(number: int) -> Plan:
    return planned(report(number)).plan


def rules(plan: Plan) -> dict[str, int | None]:
    return {tensor.name: tensor.rule for tensor in plan.tensors}


# --- criteria ----------------------------------------------------------------------


def test_running_statistics_keep_their_own_init() -> None:
    won = rules(plan_of(4))
    assert won == {
        **dict.fromkeys(["0.bias", "1.weight", "1.bias"], 0),
        **dict.fromkeys(["0.weight", "1.running_mean", "1.running_var"]),
        "1.num_batches_tracked": None,
    }


def test_a_rule_without_criteria_leaves_counters_alone() -> None:
    assert rules(plan_of(43))["1.num_batches_tracked"] is None


@TIMM
def test_a_name_may_be_one_of_a_list() -> None:
    won = rules(plan_of(27))
    assert {name for name, rule in won.items() if rule == 0} == {
        name for name in won if name.endswith(("bn2.weight", "bn3.weight"))
    }


def test_ndim_may_be_one_of_a_list() -> None:
    assert rules(plan_of(28)) == {
        "0.weight": 0,
        "0.bias": None,
        "1.weight": 0,
        "1.bias": None,
    }


@TIMM
def test_a_capture_may_be_digits_within_a_segment() -> None:
    won = {name for name, rule in rules(plan_of(39)).items() if rule == 0}
    assert won == {f"layer{n}.{block}.bn2.weight" for n in range(1, 5) for block in range(2)}


def test_not_negates_a_match() -> None:
    document = report(28)
    document["init"]["rules"][0] = {
        "match": {"parameter": "bias", "not": {"name": "1.**"}},
        "initializer": {"type": "zeros"},
    }
    won = rules(planned(document).plan)
    assert [name for name, rule in won.items() if rule == 0] == ["0.bias"]


@pytest.mark.parametrize("name", ["1.running_var", ["1.running_var", "0.*"]])
def test_a_name_without_wildcards_is_a_buffer_s_own(name: Any) -> None:
    document = report(4)
    document["init"]["rules"][0] = {"match": {"name": name}, "initializer": {"type": "ones"}}
    won = rules(planned(document).plan)
    assert won["1.running_var"] == 0 and won["1.running_mean"] is None


@pytest.mark.parametrize("kind", ["buffer", "any", ["parameter", "buffer"]])
def test_a_kind_takes_buffers(kind: Any) -> None:
    document = report(4)
    match = {"kind": kind, "name": "**.running_*"}
    document["init"]["rules"][0] = {"match": match, "initializer": {"type": "ones"}}
    won = rules(planned(document).plan)
    assert {name for name, rule in won.items() if rule == 0} == {
        "1.running_mean",
        "1.running_var",
    }


def test_every_parameter_needs_a_rule_if_own_init_is_refused_and_buffers_do_not() -> None:
    document = report(43)
    document["init"]["unmatched"] = "error"
    assert set(rules(planned(document).plan).values()) == {0, None}


def test_a_buffer_without_an_own_init_is_filled_by_any_rule() -> None:
    layer = {"type": "Custom", "buffers": [{"name": "table", "shape": [2]}]}
    document = {"architecture": layer, "init": {"rules": [{"initializer": {"type": "ones"}}]}}
    assert rules(planned(document).plan) == {"table": 0}


@pytest.mark.parametrize("match", [{"ndim": {"min": 2}}, {"not": {"ndim": {"max": 1}}}])
def test_weights_are_the_tensors_of_two_dimensions_or_more(match: Any) -> None:
    document = report(28)
    document["init"]["rules"][0]["match"] = match
    won = rules(planned(document).plan)
    assert {name for name, rule in won.items() if rule == 0} == {"0.weight", "1.weight"}


def test_a_list_of_one_is_the_item() -> None:
    listed = {"name": ["0.bias"], "ndim": [1], "kind": ["any"]}
    single = {"name": "0.bias", "ndim": 1, "kind": "any"}
    document = report(28)
    ids = set()
    for match in (single, listed):
        document["init"]["rules"][0] = {"match": match, "initializer": {"type": "zeros"}}
        ids.add(planned(document).plan.id)
    assert len(ids) == 1


# --- warnings ----------------------------------------------------------------------


def codes(plan: Plan) -> list[str]:
    return [warning.code for warning in plan.warnings]


def test_an_initializer_that_the_next_one_overwrites_is_warned_of() -> None:
    (warning,) = plan_of(3).warnings
    assert (warning.code, warning.path) == ("SP105", "init.rules.0.initializer.0")
    assert "eye has no effect" in str(warning)


def test_a_star_that_stays_in_the_first_level_is_warned_of() -> None:
    (warning,) = plan_of(6).warnings
    assert warning.path == "init.rules.0.match.name"
    assert str(warning).startswith(
        "SP104: init.rules.0: '*.bias' matches 1 of the 3 names that '**.bias' matches"
    )


def test_a_padding_row_drawn_over_is_warned_of_until_it_is_zeroed() -> None:
    (warning,) = plan_of(51).warnings
    assert warning.code == "SP207" and "zero_rows" in str(warning)
    document = report(51)
    document["init"]["rules"][0]["transforms"] = [{"type": "zero_rows", "rows": [0]}]
    assert not planned(document).plan.warnings


def test_own_init_keeps_the_padding_row() -> None:
    document = report(51)
    document["init"]["rules"][0]["initializer"] = {"type": "own"}
    assert not planned(document).plan.warnings


def test_bounds_that_truncate_nothing_are_warned_of() -> None:
    (warning,) = plan_of(53).warnings
    assert warning.code == "SP205" and "std is 0.02" in str(warning)


def test_bounds_may_be_written_in_std() -> None:
    document, literal = report(53), report(53)
    bounds = {"a": "-2 * std", "b": "mean + 2 * std"}
    document["init"]["rules"][0]["initializer"] |= bounds
    literal["init"]["rules"][0]["initializer"] |= {"a": -0.04, "b": 0.04}
    named, given = planned(document).plan, planned(literal).plan
    assert not named.warnings
    assert named.tensors[0].program == given.tensors[0].program


# --- messages ----------------------------------------------------------------------


def refused(document: Any) -> str:
    with pytest.raises(SpecError) as raised:
        planned(document)
    (fault,) = raised.value.faults
    return str(fault)


NO_TENSOR = "init.rules.0.match: matches no tensor: "


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (34, "`module` is the name of a class, or a list of them, not a glob; classes here: 'Conv"),
        (37, "a LazyLinear is a Linear once it has its shape: match 'Linear'"),
        (38, '`parameter` is the last segment of a name, not a glob; use `"name": '),
        (40, "'encoder' is a module; its tensors are 'encoder.**'"),
    ],
)
def test_a_rule_that_matches_no_tensor_names_the_criterion_and_the_nearest(
    number: int, hint: str
) -> None:
    assert refused(report(number)).startswith(NO_TENSOR + hint)


def test_a_power_is_written_with_stars() -> None:
    assert "a power is written `**`, not `^`" in refused(report(45))


def test_one_cause_is_one_fault_with_a_count() -> None:
    document = report(46)
    document["init"]["rules"][0]["initializer"]["std"] = "no_such_number"
    fault = refused(document)
    assert "unknown name 'no_such_number'" in fault and "more tensors)" in fault
    assert "init.constants" in fault


def test_words_that_are_taken() -> None:
    assert rules(plan_of(35)) == {"0.weight": 0, "0.bias": None, "1.weight": None, "1.bias": None}
    for number in (44, 47, 50):
        assert plan_of(number).tensors


def test_a_seed_belongs_in_init() -> None:
    assert refused(report(49)) == "seed: belongs in `init`: init.seed"


# --- presets and small faults --------------------------------------------------------


def test_an_expression_over_a_fan_of_zero_leaves_an_empty_tensor_alone() -> None:
    assert plan_of(30).tensors[0].numel == 0


@pytest.mark.parametrize(
    "expression", ["1 / fan_in", "sqrt(2 / fan_in)", "fan_in ** -0.5", "log(fan_in)", "1 % fan_in"]
)
@pytest.mark.parametrize("place", ["initializer", "transform", "part", "term"])
def test_so_does_any_expression_at_any_place(expression: str, place: str) -> None:
    document = report(30)
    (rule,) = document["init"]["rules"]
    plain, drawn = {"type": "normal"}, {"type": "normal", "std": expression}
    options: dict[str, Any] = {
        "initializer": {"initializer": drawn},
        "transform": {"initializer": plain, "transforms": [{"type": "scale", "value": expression}]},
        "part": {
            "initializer": plain,
            "splits": {"parts": [{"size": 1, "initializer": drawn}, {"size": 2}]},
        },
        "term": {"initializer": {"type": "sum", "initializers": [plain, drawn]}},
    }
    document["architecture"] = {"type": "tensors", "tensors": {"weight": {"shape": [3, 0]}}}
    document["init"]["rules"] = [{"match": rule["match"], **options[place]}]
    assert planned(document).plan.tensors[0].numel == 0
    document["architecture"]["tensors"]["weight"]["shape"] = [3, 4]
    document = json.loads(json.dumps(document).replace("fan_in", "(fan_in - 4)"))
    assert expression.replace("fan_in", "(fan_in - 4)") in refused(document)


def test_a_misused_function_is_a_fault_of_an_empty_tensor_too() -> None:
    document = report(30)
    document["init"]["rules"][0]["initializer"] = {"type": "normal", "std": "sqrt(1, 2)"}
    assert "has no value" in refused(document)


def test_a_preset_is_also_known_by_its_id_on_the_hub() -> None:
    document = report(32)
    named = {"architecture": {"type": "preset", "name": "gpt2"}}
    assert planned(document).plan.id == planned(named).plan.id


def test_constants_may_be_expressions_over_each_other() -> None:
    document = report(28)
    document["init"]["constants"] = {"std": "0.02 / sqrt(2 * depth)", "depth": 8}
    document["init"]["rules"][0]["initializer"] = {"type": "normal", "std": "std"}
    literal = report(28)
    literal["init"]["rules"][0]["initializer"] = {"type": "normal", "std": 0.005}
    programs = [planned(each).plan.tensors[0].program for each in (document, literal)]
    assert programs[0] == programs[1]


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"a": "b", "b": "a"}, "needs itself"),
        ({"a": "1 / 0"}, "init.constants.a: expression '1 / 0' divides by zero"),
        ({"a": "c"}, "init.constants.a: unknown name 'c'"),
    ],
)
def test_a_constant_without_a_value_is_a_fault(constants: Any, message: str) -> None:
    document = report(28)
    document["init"]["constants"] = constants
    assert message in refused(document)


def complex_spec(initializer: Any, shape: list[int]) -> dict[str, Any]:
    tensor = {"name": "w", "shape": shape, "dtype": "complex64"}
    return {
        "architecture": {"type": "tensors", "tensors": [tensor]},
        "init": {"rules": [{"initializer": initializer}]},
    }


@pytest.mark.parametrize(
    ("shape", "values", "expected"),
    [
        ([2], [1, 2], [1 + 0j, 2 + 0j]),
        ([2], [[1, -1], [0, 2]], [1 - 1j, 2j]),
        ([1, 2], [[[1, -1], [0, 2]]], [1 - 1j, 2j]),
        ([1, 2], [[1, -1], [0, 2]], [1 - 1j, 2j]),
        ([], [3, 4], [3 + 4j]),
    ],
)
def test_values_fill_complex_tensors(
    shape: list[int], values: Any, expected: list[complex]
) -> None:
    made = planned(complex_spec({"type": "values", "values": values}, shape))
    out = np.empty(8 * len(expected), np.uint8)
    Evaluator(made.plan, made.blobs).fill(0, 0, len(expected), out)
    assert out.view(np.complex64).tolist() == expected


@pytest.mark.parametrize(
    ("initializer", "told"),
    [
        ({"type": "normal"}, "use constant, zeros, ones or values, of [real, imaginary]"),
        (
            {"type": "values", "values": [1, 2, 3]},
            "values have shape [3]; the tensor's is [2], or [2, 2] with imaginary parts",
        ),
        ({"type": "values", "values": ["1+2j", 3]}, "a complex one is [real, imaginary]"),
    ],
    ids=str,
)
def test_a_complex_tensor_is_told_how_its_values_are_written(initializer: Any, told: str) -> None:
    assert told in refused(complex_spec(initializer, [2]))
