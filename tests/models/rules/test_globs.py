"""Globs over tensor names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.rules.globs import GlobError, captures, match


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a.b", "a.b", {}),
        ("a.b", "a.c", None),
        ("*", "a", {}),
        ("*", "a.b", None),
        ("*.weight", "a.weight", {}),
        ("*.weight", "a.b.weight", None),
        ("**.weight", "a.b.weight", {}),
        ("**.weight", "weight", {}),
        ("**.weight", "myweight", None),
        ("**weight", "a.myweight", {}),
        ("a.**.weight", "a.weight", {}),
        ("a.**.weight", "a.b.c.weight", {}),
        ("a.**.weight", "ab.weight", None),
        ("**", "a.b.c", {}),
        ("a.**", "a.b", {}),
        ("h.{layer}.w", "h.12.w", {"layer": 12}),
        ("h.{layer}.w", "h.x.w", None),
        ("h.{layer}.w", "h.1.2.w", None),
        ("h{layer}.w", "h1.w", {"layer": 1}),
        ("h{layer}.w", "h.w", None),
        ("layer{n}.**", "layer12.0.w", {"n": 12}),
        ("**.layer1{n}.w", "m.layer12.w", {"n": 2}),
        ("stages_{s}_blocks_{b}.w", "stages_1_blocks_20.w", {"s": 1, "b": 20}),
        ("**{n}.w", "h.1.w", {"n": 1}),
        ("**{n}.w", "h.x1.w", None),
        ("*{n}.w", "x1.w", None),
        ("**.{layer}.**.proj", "a.h.3.attn.proj", {"layer": 3}),
        ("**.attn.**.weight", "h.0.attn.weight", {}),
        ("*.**.weight", "h.weight", {}),
        ("**..**.[!a]", ".b", {}),
        ("{a}.{b}", "1.2", {"a": 1, "b": 2}),
        ("fc[12].w", "fc1.w", {}),
        ("fc[!12].w", "fc1.w", None),
        ("fc?.w", "fc2.w", {}),
        ("fc?.w", "fc..w", None),
        ("fc2 .weight", "fc2 .weight", {}),
        ("*b*d", "abcd", {}),
        ("**b*.d**e", "xb1.dqe", {}),
        ("*a*b.*c", "xaab.ybc", {}),
    ],
)
def test_matches(pattern: str, name: str, expected: dict[str, int] | None) -> None:
    assert match(pattern, name) == expected


@pytest.mark.parametrize(
    ("pattern", "globs"),
    [
        ("{stem,**.conv*}.weight", '["stem.weight", "**.conv*.weight"]'),
        ("w.{a, b,c,d}", '["w.a", "w.b", "w.c", ...]'),
    ],
)
def test_choices_in_braces_are_a_list_of_globs(pattern: str, globs: str) -> None:
    with pytest.raises(GlobError, match="no choices in braces") as caught:
        captures(pattern)
    assert str(caught.value).endswith(f"write a list of globs: {globs}")


@pytest.mark.parametrize("pattern", ["[", "a]", "{", "{}", "{1}", "{a}.{a}", "***", "[]", "[z-a]"])
def test_a_glob_that_does_not_parse_is_an_error(pattern: str) -> None:
    with pytest.raises(GlobError):
        match(pattern, "a")


def test_captures_are_named() -> None:
    assert captures("h.{layer}.{head}.w") == {"layer", "head"}


def naive(pattern: str, name: str) -> bool:
    """Every way to match, tried: the meaning of a glob of `*`, `**`, and letters."""
    if not pattern:
        return not name
    if pattern.startswith("**"):
        rest = pattern[2:]
        return naive(rest, name) or (bool(name) and naive(pattern, name[1:]))
    if pattern[0] == "*":
        return naive(pattern[1:], name) or (
            bool(name) and name[0] != "." and naive(pattern, name[1:])
        )
    return bool(name) and name[0] == pattern[0] and naive(pattern[1:], name[1:])


@given(
    st.lists(st.sampled_from(["a", "b", ".", "*", "**"]), max_size=8)
    .map("".join)
    .filter(lambda p: "***" not in p and "**." not in p),
    st.text(alphabet="ab.", max_size=10),
)
def test_atomic_matching_loses_no_match(pattern: str, name: str) -> None:
    assert (match(pattern, name) is not None) == naive(pattern, name)


@pytest.mark.timeout(60)
def test_hostile_patterns_do_not_backtrack() -> None:
    assert match("*a" * 100 + "b", "a" * 400) is None
    assert match("**a" * 100 + "b", "a" * 400) is None
    assert match("**a*a." * 50 + "b", "aaa." * 100) is None
