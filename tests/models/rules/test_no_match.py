"""Reasons why criteria match no tensor."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.rules.no_match import reason
from seedpoint.models.rules.rule import Candidate, Match

CLASSES = {"encoder.0": "Linear", "encoder.norm": "BatchNorm1d", "head": "Linear"}
TENSORS = {
    "encoder.0.weight": 2,
    "encoder.0.bias": 1,
    "encoder.norm.weight": 1,
    "encoder.norm.running_var": 1,
    "head.weight": 2,
}


def owner(name: str) -> str:
    return CLASSES[name.rpartition(".")[0]]


def candidates() -> list[Candidate]:
    return [
        Candidate(
            name,
            frozenset({owner(name), "Module"}),
            ndim,
            "buffer" if "running" in name else "parameter",
            "running" not in name,
        )
        for name, ndim in TENSORS.items()
    ]


def why(**criteria: Any) -> str:
    return reason(Match.model_validate(criteria), candidates(), owner)


@pytest.mark.parametrize(
    ("criteria", "hint"),
    [
        ({"name": "encoder"}, "'encoder' is a module; its tensors are 'encoder.**'"),
        ({"name": "encoder.*"}, "did you mean 'encoder.**'?"),
        ({"name": "*bias"}, "did you mean '**bias'?"),
        ({"name": "weight"}, "did you mean '**.weight'?"),
        ({"name": "*.norm"}, "did you mean '*.norm.**'?"),
        ({"name": ".*bias"}, "a glob, not a regular expression; did you mean '**bias'?"),
        (
            {"name": r"^encoder\.\d+\.weight$"},
            "regular expression; did you mean 'encoder.*.weight'?",
        ),
        ({"name": "(a|b)"}, "a glob, not a regular expression"),
        ({"name": "Head.Weight"}, "names have upper and lower case; did you mean 'head.weight'?"),
        ({"name": "head.wieght"}, "did you mean 'head.weight'"),
        ({"name": "xyz"}, "matches none of the tensors: 'encoder.0.weight'"),
        ({"name": "**.running_*"}, 'each keeps its own init; add `"kind": "buffer"`'),
        ({"module": "linear"}, "did you mean 'Linear'?"),
        ({"module": "Conv*"}, "not a glob; classes here: 'Linear', 'BatchNorm1d'"),
        ({"module": "encoder"}, 'use `"name": "encoder.**"` instead'),
        ({"module": "Embedding"}, "classes here: 'Linear', 'BatchNorm1d'"),
        ({"module": "LazyLinear"}, "match 'Linear'"),
        ({"parameter": "w*"}, 'not a glob; use `"name": "**.w*"` instead'),
        ({"parameter": "head.weight"}, 'use `"name": "head.weight"` instead'),
        ({"parameter": "wieght"}, "did you mean 'weight'"),
        ({"ndim": 3}, "here they have 1, 2 dimensions"),
        ({"module": "BatchNorm1d", "ndim": 2}, "`module` holds for 'encoder.norm.weight'"),
        ({"ndim": 2, "not": {"parameter": "weight"}}, "`not` excludes every tensor"),
    ],
)
def test_the_reason_leads_to_criteria_that_hold(criteria: Any, hint: str) -> None:
    assert hint in why(**criteria)


PARAMETRIZED = (
    *("fc.bias", "fc.parametrizations.weight.original0", "fc.parametrizations.weight.original1"),
    *("conv.parametrizations.weight.original", "conv.parametrizations.weight.0._u"),
)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fc.weight", "'fc.parametrizations.weight.original1'"),
        ("conv.weight", "'conv.parametrizations.weight.original'"),
        (
            "**.weight",
            "'**.parametrizations.weight.original1' and '**.parametrizations.weight.original'",
        ),
    ],
)
def test_a_parametrized_weight_is_where_its_values_are(name: str, values: str) -> None:
    held = [Candidate(each, frozenset(), 2, "parameter") for each in PARAMETRIZED]
    words = f"'weight' is parametrized; its values are {values}"
    assert reason(Match(name=name), held, lambda _: "") == words


def test_the_last_of_many_names_are_listed_too() -> None:
    names = [*(f"body.{number}.weight" for number in range(20)), "head.weight", "head.bias"]
    held = [Candidate(each, frozenset(), 2, "parameter") for each in names]
    words = reason(Match(name="qqq"), held, lambda _: "")
    assert "'body.3.weight', ... 14 more ..., 'body.18.weight'" in words
    assert words.endswith("'head.weight', 'head.bias'")


def test_a_list_of_tensors_has_no_modules() -> None:
    alone = [Candidate("w", frozenset(), 2, "parameter")]
    assert "use `name`" in reason(Match(module="Linear"), alone, lambda _: "")
    assert "kinds here: 'parameter'" in reason(Match(kind="buffer"), alone, lambda _: "")
