"""New names by globs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seedpoint.models.errors import SpecError
from seedpoint.models.rules import globs
from seedpoint.models.rules.renames import MAX_TRIED, Rename, renamed


def rename(match: Any, to: str) -> Rename:
    return Rename.model_validate({"match": match, "to": to})


@pytest.mark.parametrize(
    ("match", "to", "name", "new"),
    [
        ("**", "model.**", "a.b", "model.a.b"),
        ("model.**", "**", "model.a.b", "a.b"),
        ({"name": "model.**"}, "**", "model.a.b", "a.b"),
        ("h.{n}.*", "layers.{n}.*", "h.07.w", "layers.07.w"),
        ("{a}.{b}", "{b}.{a}.{b}", "1.2", "2.1.2"),
        ("**.w?_proj.*", "**.W.*", "a.b.wq_proj.weight", "a.b.W.weight"),
        ("*.**.*", "**.*.*", "a.b.c.d", "b.c.a.d"),
        ("**.x.**", "**|**", "a.x.b", "a|b"),
        ("**.bias", "m.**.bias", "bias", "m.bias"),
        ("**.bias", "**.b", "bias", "b"),
        ("a.*.**.c", "*.**.d", "a.b.c", "b.d"),
        ("[*]a*", "*", "*ab", "b"),
        ("a", "[b]?", "a", "[b]?"),
    ],
)
def test_a_name_is_made_from_what_the_glob_matches(
    match: Any, to: str, name: str, new: str
) -> None:
    assert rename(match, to).apply(name) == new


segments = st.text("ab1", min_size=1, max_size=4)
names = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", ".", "*", "**", "?", "1"]), max_size=6).map("".join)


@given(patterns, names)
def test_wildcards_put_back_give_the_same_name(pattern: str, name: str) -> None:
    try:
        globs.compile_glob(pattern)
    except globs.GlobError:
        return
    if "?" in pattern or not pattern:
        return
    found = rename(pattern, pattern).apply(name)
    assert (found is not None) == (globs.match(pattern, name) is not None)
    assert found in (name, None)


@pytest.mark.parametrize(
    ("match", "to", "place", "message"),
    [
        ("a.*", "{n}.*", "to", "{n} is not captured by `match`; its captures: none"),
        ("a.{k}.{b}", "{n}", "to", "its captures: {b}, {k}"),
        ("a.*", "**", "to", "has more `**` than `match`"),
        ("a.*", "*.*", "to", "has more `*` than `match`"),
        ("a.*", "a.{", "to", "does not parse at '{'"),
        ("a.*", "a}", "to", "does not parse at '}'"),
        ("a.*", "", "to", "at least 1 character"),
        ("a.[", "b", "match", "does not parse"),
        ({"name": "a", "ndim": 2}, "b", "match", "valid string"),
        (["a"], "b", "match", "valid string"),
    ],
)
def test_a_fault_is_told_at_its_place(match: Any, to: str, place: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        rename(match, to)
    (error,) = raised.value.errors()
    assert error["loc"] == (place,)
    assert message in error["msg"]


def test_the_first_that_matches_renames_and_others_keep_their_names() -> None:
    renames = [rename("a.x", "first"), rename("a.*", "second.*")]
    assert renamed(["a.x", "a.y", "b"], renames) == {"a.x": "first", "a.y": "second.y"}
    assert renamed(["a"], []) == {}


def test_names_may_be_exchanged() -> None:
    assert renamed(["a", "b"], [rename("a", "b"), rename("b", "a")]) == {"a": "b", "b": "a"}


@pytest.mark.parametrize(
    ("renames", "path", "message"),
    [
        ([("a.*", "x.*"), ("c", "d")], "rename.1.match", "'a.b', 'a.c', 'd'"),
        ([("a.*", "x.*"), ("a.b", "y")], "rename.1.match", "earlier renames"),
        ([("a.*", "x")], "rename.0.to", "'a.b' and 'a.c' would both be named 'x'"),
        ([("a.b", "q"), ("a.c", "d")], "rename.1.to", "'a.c' and 'd' would both be named 'd'"),
        ([("d", "a.b")], "rename.0.to", "'a.b' and 'd' would both be named 'a.b'"),
        ([("d*", "*")], "rename.0.to", "leaves no name for 'd'"),
    ],
)
def test_renames_without_effect_and_equal_names_are_faults(
    renames: list[tuple[str, str]], path: str, message: str
) -> None:
    with pytest.raises(SpecError) as raised:
        renamed(["a.b", "a.c", "d"], [rename(*each) for each in renames])
    (fault,) = raised.value.faults
    assert fault.path == path
    assert message in fault.message


def test_renames_are_bounded_by_the_names() -> None:
    with pytest.raises(SpecError, match=r"^rename: 3 are too many .* at most 2 are allowed"):
        renamed(["a"] * (MAX_TRIED // 2), [rename("a", "a")] * 3)
