"""Fields of a spec that are outside the checkpoint id."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import json_schema, parse_spec
from seedpoint.models.statistics.describe import resource

SPEC = {"architecture": {"type": "Linear", "in_features": 2, "out_features": 3}}
ABOUT = {
    "name": "probe",
    "description": "A probe.",
    "labels": {"team": "vision", "n": 3, "x": None},
}


def plan(**more: Any) -> Plan:
    return make_plan(parse_spec({**SPEC, **more})).plan


def test_name_description_and_labels_are_kept_outside_the_id_and_shown() -> None:
    named, plain = plan(**ABOUT), plan()
    assert named.id == plain.id and named.canonical == plain.canonical
    kept = Plan.from_record(named.record)
    assert dict(kept.about) == ABOUT
    assert {key: resource(kept)[key] for key in ABOUT} == ABOUT
    assert not ABOUT.keys() & resource(plain).keys()


def test_a_link_to_the_schema_is_ignored() -> None:
    assert plan(**{"$schema": "https://example.org/v1/spec/schema"}).record == plan().record
    assert "$schema" in json_schema()["properties"]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"name": 3}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": {}}}, "labels.a"),
        ({"labels": {str(n): n for n in range(101)}}, "labels"),
    ],
)
def test_a_label_of_another_form_is_a_fault(more: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as raised:
        plan(**more)
    assert {fault.path for fault in raised.value.faults} == {path}
