"""Spellings that mean the same have one id."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

NORMAL = {"type": "normal"}
SHAPES = {"w": {"shape": [4, 4]}}


def listed(*transforms: Any, **rule: Any) -> dict[str, Any]:
    rule = {"initializer": NORMAL, "transforms": list(transforms), **rule}
    return spec({"type": "tensors", "tensors": SHAPES}, rule)


def spec(architecture: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    return {"architecture": architecture, "init": {"rules": [rule]}}


def split(**more: Any) -> dict[str, Any]:
    zeros = {"type": "zeros"}
    return {"splits": {"parts": [{"size": 2, **more}, {"size": 2, "initializer": zeros}]}}


def module(**more: Any) -> dict[str, Any]:
    return spec({"type": "Module", "parameters": SHAPES, **more}, {"initializer": NORMAL})


def rows(value: Any) -> dict[str, Any]:
    return {"type": "zero_rows", "rows": value}


def assigned(*index: Any) -> dict[str, Any]:
    return {"type": "set", "index": list(index), "value": 1}


def identity(document: dict[str, Any]) -> str:
    plan = make_plan(parse_spec(document)).plan
    assert make_plan(parse_spec(dict(plan.spec))).plan.id == plan.id
    return plan.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (listed(), listed(fan=None, splits=None, optional=False)),
        (listed(), listed(fan={})),
        (listed(), listed(match={"name": None})),
        (listed(initializer=[NORMAL]), listed(initializer={"type": "normal", "std": 1})),
        (listed(fan={"batch_axes": []}), listed(fan={"groups": 1})),
        (listed(**split()), listed(**split(initializer=None, transforms=[], fan={}))),
        (listed(**split(initializer=NORMAL)), listed(**split(initializer=[NORMAL]))),
        (listed(match={"not": "x"}), listed(match={"not": [{"name": ["x"]}]})),
        (listed(rows(1)), listed(rows([1]))),
        (listed(rows("1:")), listed(rows([" 1 : "]))),
        (listed(assigned("1:3")), listed(assigned(["1:3"]))),
        (module(), module(children={}, buffers={}, parametrizations={})),
        (module(), module(children=[], buffers=[])),
        (module(), module(parameters=[{"name": "w", "shape": [4, 4]}])),
    ],
)
def test_harmless_rewriting_keeps_the_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert identity(one) == identity(other)


def test_a_list_of_one_index_is_a_row_and_an_index_alone_no_matrix() -> None:
    programs = [
        make_plan(parse_spec(listed(assigned(*index)))).plan.tensors[0].program
        for index in ([[1]], [[1], ":"], [1, 0])
    ]
    assert programs[0] == programs[1] != programs[2]
