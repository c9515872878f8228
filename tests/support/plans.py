"""Plans of small specs, and faults of invalid ones."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

LINEAR = {"type": "Linear", "in_features": 4, "out_features": 6}


def plan(architecture: dict[str, Any], *rules: dict[str, Any], **more: Any) -> Plan:
    init = {"rules": list(rules), **more.pop("init", {})}
    return make_plan(parse_spec({"architecture": architecture, "init": init, **more})).plan


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequential", "layers": list(layers)}


def rule(match: dict[str, Any], initializer: Any, **more: Any) -> dict[str, Any]:
    return {"match": match, "initializer": initializer, **more}


def normal(std: float | str = 1.0) -> dict[str, Any]:
    return {"type": "normal", "std": std}


def tensor(found: Plan, name: str) -> PlanTensor:
    return next(t for t in found.tensors if t.name == name)


def faults(architecture: dict[str, Any], *rules: dict[str, Any], **more: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        plan(architecture, *rules, **more)
    return {fault.path: fault.message for fault in caught.value.faults}
