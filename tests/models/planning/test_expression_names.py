"""Names of expressions: each has, in a rule, the value that is shown."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.plan.program import Constant
from seedpoint.models.planning.compiler import plan_structure
from seedpoint.models.planning.expression_names import expression_names
from seedpoint.models.planning.record_architecture import survey
from seedpoint.models.spec.schema import parse_spec

BODY = {"type": "preset", "name": "gpt2-tiny"}
HEAD = {"type": "Linear", "in_features": 3, "out_features": 2}
TREE = {"type": "Module", "children": {"body": BODY, "head": HEAD}}


@pytest.mark.parametrize(
    ("architecture", "tensor"),
    [(HEAD, "weight"), (BODY, "transformer.h.1.mlp.c_fc.weight"), (TREE, "head.bias")],
)
def test_a_name_has_the_value_in_a_rule_that_is_shown(
    architecture: dict[str, Any], tensor: str
) -> None:
    constants = {"base": 64, "half": "base / 128"}
    structure = survey(parse_spec({"architecture": architecture}).architecture)
    known = expression_names(parse_spec(spec(architecture, constants)), structure)
    configs = known.configs.get("", {})
    shown = {**configs, **known.layers[tensor], **known.constants}
    assert len(shown) > len(constants)
    for name, value in shown.items():
        rule = {"match": {"name": tensor}, "initializer": {"type": "constant", "value": name}}
        parsed = parse_spec(spec(architecture, constants, rule))
        planned = plan_structure(parsed, structure).plan
        (found,) = (each for each in planned.tensors if each.name == tensor)
        assert found.program.source == Constant(pytest.approx(value))


def spec(
    architecture: dict[str, Any], constants: dict[str, Any], *rules: dict[str, Any]
) -> dict[str, Any]:
    return {"architecture": architecture, "init": {"constants": constants, "rules": list(rules)}}


def test_a_list_of_tensors_has_constants_alone() -> None:
    document = {"architecture": {"type": "tensors", "tensors": {"w": {"shape": [2, 3]}}}}
    parsed = parse_spec(document | {"init": {"constants": {"half": 0.5}}})
    known = expression_names(parsed, survey(parsed.architecture))
    assert (known.constants, known.configs, known.layers) == ({"half": 0.5}, {}, {"w": {}})
