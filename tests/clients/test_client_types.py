"""Types of documents in the client, beside the schemas of the service."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel
from seedpoint_client import types

from seedpoint.models.rules.rule import Dimensions, Match, Rule
from seedpoint.models.spec.schema import DTypePolicy, DTypeRule, Init, Spec
from seedpoint.service.api import schemas

ANSWERS: dict[str, tuple[type[BaseModel], ...]] = {
    "Resource": (schemas.Checkpoint, schemas.Begun),
    **{
        name: (getattr(schemas, name),)
        for name in (
            *("Links", "Totals", "Moments", "Tensor", "WarningDetails", "Digested"),
            *("Statistics", "Progress", "Issued", "Page"),
        )
    },
}
SPECS = {model.__name__: model for model in (Spec, Init, Rule, Match, Dimensions)}
SPECS |= {model.__name__: model for model in (DTypePolicy, DTypeRule)}


def fields(*models: type[BaseModel]) -> dict[str, bool]:
    """The fields of models by the names they have in JSON, and whether all require them."""
    found: dict[str, bool] = {}
    for model in models:
        for name, field in model.model_fields.items():
            found[field.alias or name] = field.is_required()
    return {name: all(name in model_names(m) for m in models) and r for name, r in found.items()}


def model_names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_type_of_an_answer_is_the_services_schema(name: str) -> None:
    typed: Any = getattr(types, name)
    expected = fields(*ANSWERS[name])
    assert set(get_type_hints(typed)) == set(expected)
    assert typed.__required_keys__ == {key for key, required in expected.items() if required}


@pytest.mark.parametrize("name", SPECS)
def test_a_type_of_a_spec_is_its_schema(name: str) -> None:
    typed: Any = getattr(types, name)
    expected = fields(SPECS[name])
    expected.pop("$schema", None)
    assert set(get_type_hints(typed)) == set(expected)
    assert typed.__required_keys__ <= set(expected)


def test_a_spec_that_is_typed_can_be_issued() -> None:
    """This is for mypy: the literal is checked where it stands."""
    spec: types.Spec = {
        "architecture": {"type": "Linear", "in_features": 2, "out_features": 3},
        "init": {
            "seed": 7,
            "rules": [
                {
                    "match": {"parameter": "weight", "not": {"ndim": {"min": 3}}},
                    "initializer": {"type": "normal", "std": "1 / fan_in"},
                }
            ],
        },
        "dtype": "bfloat16",
    }
    assert Spec.model_validate(spec).init.seed == 7
