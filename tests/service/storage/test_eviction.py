"""Eviction: the longest unused goes first, plans last, and nothing that is in use."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from seedpoint.service.settings import Settings
from seedpoint.service.storage.eviction import CACHES, Policy, doomed
from seedpoint.service.storage.store import KINDS, Entry, Kind

NOW = 10**6  # Seconds; in tests of what goes, everything is in whole seconds.
UNLIMITED = Policy(None, None, 10**12)


def entry(kind: Kind, name: str, used: int, nbytes: int = 10) -> Entry:
    return Entry(kind, name, nbytes, used * 10**9)


def going(entries: Iterable[Entry], policy: Policy) -> list[tuple[Kind, str]]:
    listed = list(entries)
    return [(gone.kind, gone.name) for gone in doomed(lambda: listed, policy, NOW * 10**9)]


def test_by_default_only_the_cache_is_bounded() -> None:
    settings = Settings()
    assert settings.store_max_age_seconds is None
    assert settings.store_max_bytes is None
    assert settings.cache_max_bytes == 1 << 30


def test_without_limits_nothing_goes() -> None:
    kinds = [kind for kind in KINDS if kind != "blobs"]
    assert going([entry(kind, "a", 0) for kind in kinds], UNLIMITED) == []


def test_what_nobody_has_used_for_too_long_goes() -> None:
    entries = [
        entry(kind, name, used)
        for kind in ("plans", "digests")
        for name, used in (("old", NOW - 1001), ("young", NOW - 999))
    ]
    policy = Policy(1000, None, 10**12)
    assert going(entries, policy) == [("digests", "old"), ("plans", "old")]


def test_the_longest_unused_goes_first_and_plans_last() -> None:
    entries = [
        entry("plans", "a", 1),
        entry("plans", "b", 2),
        entry("materialized", "b", 5),
        entry("statistics", "a", 4),
        entry("digests", "b", 3),
    ]
    order = [
        ("digests", "b"),
        ("statistics", "a"),
        ("materialized", "b"),
        ("plans", "a"),
        ("plans", "b"),
    ]
    for limit in range(0, 60, 10):
        assert going(entries, Policy(None, limit, 10**12)) == order[: 5 - limit // 10]


def test_literals_count_but_are_not_among_what_goes() -> None:
    entries = [entry("blobs", "x", 0, 100), entry("plans", "a", 1), entry("plans", "b", 2)]
    assert going(entries, Policy(None, 110, 10**12)) == [("plans", "a")]


def test_the_cache_is_bounded_by_itself() -> None:
    entries = [
        *(entry("plans", name, 0) for name in "ab"),
        *(entry("materialized", name, 0, 1000) for name in "ab"),
        *(entry("statistics", name, used) for name, used in (("a", 3), ("b", 1))),
        entry("digests", "a", 2),
    ]
    assert going(entries, Policy(None, None, 10)) == [("statistics", "b"), ("digests", "a")]


def test_nothing_goes_that_was_used_a_moment_ago() -> None:
    entries = [entry("plans", "a", NOW - 299), entry("statistics", "b", NOW - 299)]
    assert going(entries, Policy(1, 0, 0)) == []


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, NOW), st.integers(0, 100))),
    st.none() | st.integers(1, NOW),
    st.none() | st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_it_is_what_a_look_at_everything_at_once_would_find(
    files: list[tuple[Kind, int, int]],
    max_age: int | None,
    max_bytes: int | None,
    max_cache_bytes: int,
) -> None:
    entries = [entry(kind, str(n), used, size) for n, (kind, used, size) in enumerate(files)]
    left, gone = list(entries), []
    for one in sorted(entries, key=lambda e: (e.kind == "plans", e.used_ns)):
        used = one.used_ns // 10**9
        cached = sum(e.nbytes for e in left if e.kind in CACHES)
        too_old = max_age is not None and used < NOW - max_age
        too_much = max_bytes is not None and sum(e.nbytes for e in left) > max_bytes
        cached_too_much = one.kind in CACHES and cached > max_cache_bytes
        may_go = one.kind not in ("blobs", "about") and used < NOW - 300
        if may_go and (too_old or too_much or cached_too_much):
            left.remove(one)
            gone.append((one.kind, one.name))
    assert going(entries, Policy(max_age, max_bytes, max_cache_bytes)) == gone
