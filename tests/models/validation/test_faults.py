"""Faults: paths as the caller wrote them, messages that say what would be right."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from seedpoint.models.architectures import parse
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.validation.faults import MAX_FAULTS, faults_from, join


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Small(Closed):
    type: Literal["small"]
    size: Annotated[int, Field(ge=1, le=9)]


class Large(Closed):
    type: Literal["large"]
    inner: Any_ | None = None
    sizes: tuple[int, ...] | int = 1

    @model_validator(mode="after")
    def _not_seven(self) -> Large:
        if self.sizes == 7:
            raise PydanticCustomError("seven", "seven is taken", {"at": ["sizes"]})
        return self


Any_ = Annotated[Small | Large, Field(discriminator="type")]
Large.model_rebuild()


class Root(Closed):
    things: dict[str, Any_] = {}
    listed: list[Any_] = []
    mode: Literal["a", "b"] = "a"
    on: bool = False


ADAPTER = TypeAdapter(Root)
SCHEMA = ADAPTER.json_schema()


def faults(document: Any, *, schema: dict[str, Any] | None = SCHEMA, root: str = "") -> list[Fault]:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(document)
    return faults_from(caught.value, document, schema=schema, root=root)


def texts(document: Any) -> list[str]:
    return [str(fault) for fault in faults(document)]


def test_a_path_holds_no_tags_of_unions() -> None:
    document = {"listed": [{"type": "large", "inner": {"type": "small", "size": "5"}}]}
    assert texts(document) == [
        'listed.0.inner.size: expected an integer of at least 1 and at most 9, not "5"'
    ]


def test_a_key_equal_to_a_type_stays_in_the_path() -> None:
    document = {"things": {"small": {"type": "small", "size": -1}, "type": {"type": "large"}}}
    assert texts(document) == [
        "things.small.size: expected an integer of at least 1 and at most 9, not -1"
    ]


def test_a_missing_argument_says_what_is_expected() -> None:
    assert texts({"listed": [{"type": "small"}]}) == [
        "listed.0.size: missing; an integer of at least 1 and at most 9"
    ]


def test_an_unknown_argument_names_the_allowed_ones() -> None:
    assert texts({"listed": [{"type": "small", "size": 1, "sise": 2}]}) == [
        "listed.0.sise: unknown argument; did you mean 'size'?; allowed: type, size"
    ]
    assert texts({"zzz": 1}) == ["zzz: unknown argument; allowed: things, listed, mode, on"]


def test_an_unknown_type_names_near_ones() -> None:
    assert texts({"listed": [{"type": "Smal"}]}) == [
        "listed.0.type: unknown type \"Smal\"; did you mean 'small'?"
    ]
    assert texts({"listed": [{"type": "q"}]}) == [
        'listed.0.type: unknown type "q"; known: small, large'
    ]


def test_a_type_that_is_missing_or_no_string_is_a_fault_of_the_type() -> None:
    assert texts({"listed": [{}, {"type": 3}, {"type": ["small"]}, {"type": None}]}) == [
        "listed.0.type: missing; known: small, large",
        "listed.1.type: expected a string, not 3",
        "listed.2.type: expected a string, not a list of 1",
        "listed.3.type: expected a string, not null",
    ]


def test_what_should_be_an_object_says_so() -> None:
    assert texts({"listed": [5, "x"]}) == [
        "listed.0: expected an object with a `type`, not 5",
        'listed.1: expected an object with a `type`, not "x"',
    ]
    assert texts([]) == [
        "expected an object with optional `things`, `listed`, `mode`, `on`, not a list of 0"
    ]


def test_choices_and_booleans_are_in_words() -> None:
    assert texts({"mode": "c", "on": 1}) == [
        'mode: expected one of "a", "b", not "c"',
        "on: expected true or false, not 1",
    ]


def test_branches_of_a_union_give_one_fault() -> None:
    assert texts({"listed": [{"type": "large", "sizes": "x"}]}) == [
        'listed.0.sizes: expected an integer or a list of them, not "x"'
    ]


def test_a_branch_that_was_not_entered_gives_way_to_the_fault_inside_the_other() -> None:
    large = {"type": "large", "sizes": ("x", 1)}
    assert texts({"listed": [large]}) == ['listed.0.sizes.0: expected an integer, not "x"']


def test_a_validator_s_own_message_is_passed_on_at_the_place_it_names() -> None:
    assert texts({"listed": [{"type": "large", "sizes": 7}]}) == ["listed.0.sizes: seven is taken"]


def test_an_index_where_the_document_has_an_object_is_that_object_s_key() -> None:
    document = {"listed": {"first": {"type": "small", "size": 0}}}
    error = ValidationError.from_exception_data(
        "Root",
        [
            {
                "type": "greater_than_equal",
                "loc": ("listed", 0, "small", "size"),
                "input": 0,
                "ctx": {"ge": 1},
            }
        ],
    )
    (fault,) = faults_from(error, document)
    assert fault == Fault("listed.first.size", "should be greater than or equal to 1")


def test_a_root_path_comes_first() -> None:
    (fault,) = faults({"mode": 1}, root="spec")
    assert fault.path == "spec.mode"


def test_without_a_schema_pydantic_s_words_are_passed_on_in_lower_case() -> None:
    assert faults({"on": 1}, schema=None) == [Fault("on", "should be a valid boolean")]
    (fault,) = faults({"listed": [{"type": "q"}]}, schema=None)
    assert fault == Fault("listed.0.type", 'unknown type "q"')


def test_values_are_shown_short() -> None:
    (fault,) = faults({"mode": "x" * 1000})
    assert len(fault.message) < 120
    (fault,) = faults({"on": 10**5000})
    assert fault.message == "expected true or false, not a number beyond 2^128"
    (fault,) = faults({"mode": "\ud800"})
    assert fault.message.encode().decode() == fault.message


def test_a_list_of_the_wrong_length_is_told_both_bounds() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({"architecture": {"type": "ReLU"}, "init": {"rules": [SPLIT]}})
    (fault,) = caught.value.faults
    assert fault.path == "init.rules.0.splits.parts"
    words = "expected a list of at least 1 and at most 100000, each an object with `size` "
    assert fault.message.startswith(words) and fault.message.endswith(", not a list of 100001")


SPLIT = {"initializer": {"type": "zeros"}, "splits": {"parts": [{"size": 1}] * 100_001}}


def test_a_fault_quotes_no_name_of_megabytes() -> None:
    fault = Fault(f"architecture.{'k' * 10**6}.count", f"expected 1, not {'n' * 10**6}; known: a")
    assert len(fault.path) < 3_000 and len(fault.message) < 3_000
    assert fault.path.startswith("architecture.k") and fault.path.endswith("k.count")
    assert fault.message.startswith("expected 1, not n") and fault.message.endswith("n; known: a")


def test_thousands_of_errors_are_counted_not_listed() -> None:
    found = faults({"listed": [5] * 5000})
    assert len(found) == MAX_FAULTS + 1
    assert found[-1] == Fault("", f"and {5000 - MAX_FAULTS} more errors")


@pytest.mark.parametrize(
    ("segments", "path"),
    [
        (("a", 0, "b"), "a.0.b"),
        (("a.b",), '["a.b"]'),
        (("x", "a.b", "c"), 'x["a.b"].c'),
        (("x", ""), 'x[""]'),
        (("x", 'q"q'), r'x["q\"q"]'),
        (("x", "a[0]"), 'x["a[0]"]'),
        (("x", "back\\slash"), r'x["back\\slash"]'),
        (("x", "line\nbreak"), r'x["line\nbreak"]'),
        (("x", "\ud800"), r'x["\ud800"]'),
        (("x", "blank "), "x.blank "),
        (("x", "größe"), "x.größe"),
    ],
)
def test_a_path_shows_every_key_faithfully(segments: tuple[str | int, ...], path: str) -> None:
    assert join("", *segments) == path


def split(path: str) -> list[str]:
    """The keys of a path: `join` undone."""
    keys = []
    while path:
        if path.startswith("["):
            key, end = json.JSONDecoder().raw_decode(path, 1)
            path = path[end + 1 :]
        else:
            stop = min((i for i in (path.find("."), path.find("[")) if i >= 0), default=len(path))
            key, path = path[:stop], path[stop:]
        keys.append(key)
        path = path.removeprefix(".")
    return keys


ANY_TEXT = st.text(st.characters() | st.sampled_from(list('.[]"\\\ud800')), max_size=6)


@given(st.lists(ANY_TEXT, max_size=5))
def test_different_keys_have_different_paths(keys: list[str]) -> None:
    path = join("", *keys)
    assert split(path) == keys
    path.encode()


LAYERS = st.sampled_from(
    [
        {"type": "Linear", "in_features": 2, "out_features": 3},
        {"type": "Conv1d", "in_channels": 2, "out_channels": 3, "kernel_size": [3]},
        {"type": "Custom", "parameters": {"a.b": {"shape": [2]}}, "buffers": []},
        {"type": "Ref", "ref": "x"},
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | LAYERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = ("layers", "children", "layer", "count", "name", "tie", "tensors", "header", "norm", "x")
TYPES = ("Sequential", "Module", "ModuleList", "Repeat", "Custom", "tensors", "Transformer", "?")


def _documents(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(
        st.sampled_from(KEYS), inner | st.lists(inner, max_size=3) | VALUES, max_size=3
    )
    return st.builds(lambda kind, rest: {"type": kind, **rest}, st.sampled_from(TYPES), fields)


DOCUMENTS = st.recursive(LAYERS | VALUES, _documents, max_leaves=8)


@given(DOCUMENTS)
def test_every_fault_of_any_document_is_at_a_place_in_it(document: Any) -> None:
    try:
        parse(document, root="")
    except SpecError as error:
        for fault in error.faults:
            keys = split(fault.path)
            place = document
            for key in keys[:-1]:
                place = place[int(key)] if isinstance(place, list) else place[key]
            # The last key may be one that is missing.
            assert not keys or isinstance(place, list | dict), fault
            str(fault).encode()
