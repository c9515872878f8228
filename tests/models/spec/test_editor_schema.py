"""JSON Schema that editors complete a spec with: it refuses nothing that is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from seedpoint.models import architectures, initializers
from seedpoint.models.errors import SpecError
from seedpoint.models.spec.editor_schema import editor_schema
from seedpoint.models.spec.schema import json_schema, parse_spec
from tests.support.places import EXAMPLES, ROOT

VALIDATOR = Draft202012Validator(editor_schema())
LINEAR = {"type": "Linear", "in_features": 2, "out_features": 3}
FILES = [*EXAMPLES.rglob("*.json"), *(ROOT / "tests" / "reports").glob("*.json")]


def ruled(**rule: Any) -> dict[str, Any]:
    return {"architecture": LINEAR, "init": {"rules": [{"initializer": {"type": "zeros"}} | rule]}}


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(editor_schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_parses_is_valid(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    try:
        parse_spec(document)
    except SpecError:
        pytest.skip("the spec has faults")
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        ruled(initializer="zeros"),
        ruled(initializer=["ones", {"type": "zeros"}]),
        ruled(initializer={"type": "constant", "value": 1}),
        ruled(initializer={"type": "sum", "initializers": ["eye", "normal"]}),
        ruled(match="**.weight"),
        ruled(match=["**.weight", "*.bias"]),
        ruled(match={"not": "*.bias"}),
        ruled(match={"not": ["*.bias", {"module": "Linear"}]}),
        ruled(transforms=["exp", {"type": "neg"}]),
        ruled(splits={"parts": [{"size": 1, "initializer": "ones"}, {"size": 2}]}),
        {"architecture": LINEAR, "dtype": "bf16"},
        {"architecture": LINEAR, "dtype": {"default": "half"}},
        {"architecture": {**LINEAR, "parametrizations": {"weight": "weight_norm"}}},
    ],
)
def test_the_words_that_are_taken_are_valid(document: Any) -> None:
    parse_spec(document)
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        ruled(initializer="constant"),
        ruled(initializer={"type": "constant"}),
        ruled(initializer={"type": "constant", "val": 1, "bias": 1}),
        ruled(match=3),
        ruled(transforms=["scale"]),
        {"architecture": LINEAR, "dtype": "int8"},
        {"architecture": {**LINEAR, "parametrizations": {"weight": "norm"}}},
    ],
)
def test_what_is_refused_is_not(document: Any) -> None:
    with pytest.raises(SpecError):
        parse_spec(document)
    assert not VALIDATOR.is_valid(document)


def test_every_example_of_the_catalogue_is_valid() -> None:
    for entry in architectures.catalogue():
        VALIDATOR.validate({"architecture": entry["example"]})
    for entry in initializers.catalogue():
        VALIDATOR.validate(ruled(initializer=entry["example"]))


def test_the_canonical_schema_stays() -> None:
    editor_schema()
    assert json_schema()["$defs"]["Constant"]["required"] == ["type", "val"]
