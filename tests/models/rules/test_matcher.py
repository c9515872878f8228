"""The quick way to the first rule finds what trying every rule in turn finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.rules import globs
from seedpoint.models.rules.globs import GlobError
from seedpoint.models.rules.matcher import Matcher
from seedpoint.models.rules.rule import Candidate, Match, Won

SEGMENT = st.sampled_from(["a", "b", "h", "weight", "bias", "0", "12", "x1", "a]"])
NAME = st.lists(SEGMENT, min_size=1, max_size=5).map(".".join)
PIECE = st.sampled_from(["a", "h.", "weight", ".weight", ".", "*", "**", "**.", "?", "[ab]", "{i}"])


def _parses(pattern: str) -> bool:
    try:
        globs.compile_glob(pattern)
    except GlobError:
        return False
    return True


GLOB = st.lists(PIECE, max_size=6).map("".join).filter(_parses)
NAMES = st.none() | GLOB | NAME.filter(_parses) | st.lists(GLOB, min_size=1, max_size=3)
KIND = st.sampled_from(["parameter", "buffer", "any"])


def matches(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[Match]:
    return st.builds(
        Match,
        name=NAMES,
        module=st.none() | st.sampled_from([("Linear",), ("Conv", "Linear"), ("Module",)]),
        parameter=st.none() | SEGMENT,
        ndim=st.none() | st.integers(0, 2) | st.just([0, 2]) | st.just({"min": 1}),
        kind=st.none() | KIND | st.lists(KIND, min_size=1, max_size=2),
        **more,
    )


MATCH = matches(**{"not": st.none() | matches() | st.lists(matches(), min_size=1, max_size=2)})
CANDIDATE = st.builds(
    Candidate,
    name=NAME,
    classes=st.sampled_from([frozenset({"Linear", "Module"}), frozenset({"Conv", "Module"})]),
    ndim=st.integers(0, 2),
    kind=st.sampled_from(["parameter", "buffer"]),
    is_swept=st.booleans(),
)


def in_turn(matches: Sequence[Match], candidates: Sequence[Candidate]) -> Won | None:
    """The definition: each rule in order, for each of a tensor's names."""
    for index, match in enumerate(matches):
        for candidate in candidates:
            if (captures := match.captures(candidate)) is not None:
                return Won(index, captures)
    return None


@given(st.lists(MATCH, max_size=8), st.lists(st.lists(CANDIDATE, max_size=3), max_size=6))
def test_the_first_rule_is_the_one_that_trying_each_in_turn_finds(
    matches: list[Match], tensors: list[list[Candidate]]
) -> None:
    matcher = Matcher(matches)
    for candidates in tensors:
        assert matcher.first(candidates) == in_turn(matches, candidates)


@given(st.lists(MATCH, max_size=8), st.lists(CANDIDATE, max_size=6))
def test_all_that_match_are_those_that_match_alone(
    matches: list[Match], candidates: list[Candidate]
) -> None:
    found = Matcher(matches).matching(candidates)
    alone = (index for index, match in enumerate(matches) if in_turn([match], candidates))
    assert found == set(alone)


@given(st.lists(MATCH, max_size=6), CANDIDATE)
def test_a_matcher_that_sweeps_takes_buffers_for_other_tensors(
    matches: list[Match], candidate: Candidate
) -> None:
    expected = in_turn(matches, [replace(candidate, is_swept=True)])
    assert Matcher(matches, sweeps=True).first([candidate]) == expected


@given(GLOB, NAME)
def test_a_name_holds_every_text_of_a_glob_that_matches_it(pattern: str, name: str) -> None:
    if globs.match(pattern, name) is not None:
        assert all(text in name for text in globs.texts(pattern))


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [("a.b", ["a.b"]), ("**.bias", ["bias"]), ("h.{i}.w", ["h.", "w"]), ("*", []), ("", [])],
)
def test_the_texts_of_a_glob_are_what_stands_between_wildcards(
    pattern: str, texts: list[str]
) -> None:
    assert globs.texts(pattern) == texts
