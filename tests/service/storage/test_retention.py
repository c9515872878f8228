"""Retention: the longest unused goes first, never what is in use, and never an id by default."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.service.settings import Settings
from seedpoint.service.storage import atomic_files
from seedpoint.service.storage.directory import SUFFIXES, Entry, Store
from seedpoint.service.storage.retention import CACHES, QUIET_SECONDS, Policy, Retention, doomed
from tests.support.clocks import FakeClock
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

KINDS = tuple(SUFFIXES)
NOW = 10**6  # Seconds; in tests of what goes, everything is in whole seconds.
EVERYTHING = Policy(None, None, 10**12)


def entry(kind: str, name: str, used: int, nbytes: int = 10) -> Entry:
    return Entry(kind, name, nbytes, used * 10**9)


def going(entries: Iterable[Entry], policy: Policy) -> list[tuple[str, str]]:
    listed = list(entries)
    return [(gone.kind, gone.name) for gone in doomed(lambda: listed, policy, NOW * 10**9)]


# --- what goes -----------------------------------------------------------------------


def test_by_default_only_the_cache_is_bounded() -> None:
    settings = Settings()
    assert settings.store_max_age_seconds is None
    assert settings.store_max_bytes is None
    assert settings.cache_max_bytes == 1 << 30


def test_without_limits_nothing_goes() -> None:
    kinds = [kind for kind in KINDS if kind != "blobs"]
    assert going([entry(kind, "a", 0) for kind in kinds], EVERYTHING) == []


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
    files: list[tuple[str, int, int]],
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
        if one.kind != "blobs" and used < NOW - 300 and (too_old or too_much or cached_too_much):
            left.remove(one)
            gone.append((one.kind, one.name))
    assert going(entries, Policy(max_age, max_bytes, max_cache_bytes)) == gone


# --- in a store ------------------------------------------------------------------------


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(store: Store, *literals: bytes) -> str:
    """Stores a plan that names these literals."""
    blobs = {digest(literal): literal for literal in literals}
    plan = b"[%s]" % b",".join(b'{"sha256":"%s"}' % name.encode() for name in blobs)
    store.put_plan(digest(plan), plan, blobs)
    return digest(plan)


def age(root: Path, name: str, seconds: float) -> None:
    """Makes everything of a plan, or a literal, unused for so long."""
    then = time.time() - seconds
    for path in root.glob(f"*/*/{name}*"):
        os.utime(path, (then, then))


def sweep(store: Store, policy: Policy, *, serving: Iterable[str] = ()) -> None:
    clock = FakeClock()
    retention = Retention(store, policy, lambda id_: id_ not in serving, clock=clock)
    clock.pass_(QUIET_SECONDS)
    asyncio.run(retention.sweep())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_plan_goes_with_the_literals_that_nobody_else_names(store: Store) -> None:
    old, young = put(store, b"own", b"shared"), put(store, b"shared", b"another")
    for name in (old, digest(b"own"), digest(b"shared")):
        age(store.root, name, 5000)
    age(store.root, young, 500)
    sweep(store, Policy(1000, None, 10**12))
    assert not store.has_plan(old)
    assert store.has_plan(young)
    left = {path.name for path in store.root.glob("blobs/*/*")}
    assert left == {digest(b"shared"), digest(b"another")}


def test_what_belongs_to_a_plan_goes_with_it(store: Store) -> None:
    old, young = put(store, b"a"), put(store, b"b")
    for id_ in (old, young):
        store.put_materialized(id_, [b"tensors"])
        store.put_statistics(id_, b"{}")
        store.put_digests(id_, b"{}")
    (path,) = store.root.glob(f"plans/*/{old}.json")
    os.utime(path, (0, 0))
    sweep(store, Policy(1000, None, 10**12))
    assert {entry.name for entry in store.entries() if entry.kind != "blobs"} == {young}


def test_tensors_whose_plan_was_never_stored_go(store: Store) -> None:
    id_, unknown = put(store), "ab" * 32
    for name in (id_, unknown):
        store.put_materialized(name, [b"tensors"])
    sweep(store, EVERYTHING)
    assert store.materialized_version(unknown)
    for name in (id_, unknown):
        age(store.root, name, 5000)
    sweep(store, EVERYTHING)
    assert store.materialized_version(id_)
    assert not store.materialized_version(unknown)


def test_a_plan_that_is_being_served_stays(store: Store) -> None:
    served, idle = put(store, b"a"), put(store, b"b")
    for name in (served, idle):
        age(store.root, name, 5000)
    sweep(store, Policy(1000, None, 10**12), serving=[served])
    assert store.has_plan(served)
    assert not store.has_plan(idle)


def test_a_file_that_is_used_after_it_was_looked_at_stays(store: Store) -> None:
    id_ = put(store)
    age(store.root, id_, 5000)
    (seen,) = store.entries()
    assert store.use(id_)
    assert not store.remove(seen)
    (seen,) = store.entries()
    assert store.remove(seen)
    assert not store.remove(seen)
    assert not store.use(id_)


def test_use_leaves_the_order_of_the_list_as_it_is(store: Store) -> None:
    ids = [put(store, b"%d" % number) for number in range(3)]
    for number, id_ in enumerate(ids):
        age(store.root, id_, 100 - number)
    store.use(ids[0])
    assert [item.id for item in store.page(10, None)[0]] == ids[::-1]


@pytest.mark.parametrize("use", ["use", "put", "statistics", "digests"])
def test_whatever_uses_a_file_says_so(store: Store, use: str) -> None:
    id_ = put(store, b"x")
    store.put_statistics(id_, b"{}")
    store.put_digests(id_, b"{}")
    age(store.root, id_, 5000)
    age(store.root, digest(b"x"), 5000)
    uses: dict[str, Callable[[], object]] = {
        "use": lambda: store.use(id_),
        "put": lambda: put(store, b"x"),
        "statistics": lambda: store.statistics(id_),
        "digests": lambda: store.digests(id_),
    }
    uses[use]()
    expected = {"use": {"plans"}, "put": {"plans", "blobs"}}
    used = {e.kind for e in store.entries() if e.used_ns > (time.time() - 60) * 1e9}
    assert used == expected.get(use, {use})


def test_what_was_never_finished_goes_when_nobody_can_be_at_it_any_more(store: Store) -> None:
    id_ = put(store, b"x")
    left = [
        store.root / "plans" / id_[:2] / f".{id_}.json.0123456789abcdef.tmp",
        store.root / ".probe.0123456789abcdef.tmp",
        store.root / "materialized" / "ab" / f".{'ab' * 32}.bin.0123456789abcdef.tmp",
        store.root / "spool" / f".{'ab' * 20}.77.0123456789abcdef.tmp",
    ]
    others = [store.root / "plans" / id_[:2] / ".README", store.root / "NOTES.tmp"]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    sweep(store, EVERYTHING)
    assert all(path.exists() for path in left)
    for path in (*left, *others):
        os.utime(path, (0, 0))
    sweep(store, EVERYTHING)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    assert store.has_plan(id_)


def test_what_is_still_being_written_stays_however_long_it_takes(store: Store) -> None:
    path = store.root / "materialized" / "ab" / ("ab" * 32 + ".bin")
    path.parent.mkdir(parents=True)
    with atomic_files.replacing(path) as descriptor:
        (temporary,) = path.parent.iterdir()
        assert str(os.getpid()) in temporary.name.split(".")
        os.write(descriptor, b"half")
        os.utime(temporary, (0, 0))
        sweep(store, EVERYTHING)
        assert temporary.exists()
    assert path.read_bytes() == b"half"


def test_what_a_killed_writer_left_goes_at_the_start_of_a_service_and_not_an_hour_later(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    left = [
        tmp_path / "store" / "plans" / "ab" / f".{'ab' * 20}.{number}.0123456789abcdef.tmp"
        for number in range(2)
    ]
    for path, seconds in zip(left, (360, 60), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (time.time() - seconds,) * 2)
    start()
    eventually(lambda: not left[0].exists())
    assert left[1].exists()


def test_an_empty_store_is_swept(store: Store) -> None:
    sweep(store, Policy(1, 1, 1))


# --- in a service ------------------------------------------------------------------------


def plan_of(service: Running, id_: str) -> Path:
    """Where the store has a plan: whoever asks the service for it uses it."""
    path: Path = service.state.settings.store / "plans" / id_[:2] / f"{id_}.json"
    return path


def swept(service: Running, id_: str) -> bool:
    """Sweeps; whether the plan has gone, as it does when nothing of a request holds it."""
    service.within(service.state.retention.sweep())
    return not plan_of(service, id_).exists()


def test_an_id_that_has_gone_is_not_found_and_can_be_issued_again(
    start: Callable[..., Running],
) -> None:
    before = start(store_max_age_seconds=1000)
    old, young = (before.http.post("/v1/checkpoints", json=mlp(seed)).json() for seed in (1, 2))
    before.stop()
    age(before.state.settings.store, old["id"], 2000)
    clock = FakeClock()
    after = start(store_max_age_seconds=1000, clock=clock)
    clock.pass_(QUIET_SECONDS)
    assert swept(after, old["id"])
    assert_problem(after.http.get(old["links"]["self"]), 404, "not-found")
    assert_problem(after.http.get(old["links"]["statistics"]), 404, "not-found")
    assert after.http.get(young["links"]["self"]).status_code == 200
    again = after.http.post("/v1/checkpoints", json=mlp(1))
    assert again.status_code == 201
    assert again.json() == old


def test_a_service_that_has_a_plan_in_memory_forgets_it_with_the_store(
    start: Callable[..., Running],
) -> None:
    clock = FakeClock()
    service = start(store_max_bytes=1, clock=clock)
    issued = service.issue(mlp()).json()
    clock.pass_(2000)
    eventually(lambda: swept(service, issued["id"]))
    assert service.http.get(issued["links"]["self"]).status_code == 404
    assert service.issue(mlp()).status_code == 201


def test_what_is_being_sent_stays_until_it_is_sent(start: Callable[..., Running]) -> None:
    clock = FakeClock()
    service = start(store_max_age_seconds=1000, clock=clock)
    issued = service.issue(mlp(hidden=10_000_000)).json()
    with service.http.stream("GET", issued["links"]["files"]["model.safetensors"]) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        clock.pass_(2000)
        assert not swept(service, issued["id"])
    eventually(lambda: swept(service, issued["id"]))


# --- tensors that were made once -----------------------------------------------------------


def bound(seed: int = 5) -> dict[str, Any]:
    spec = mlp(seed)
    spec["init"]["generator"] = "torch"
    return spec


def lose_tensors(service: Running) -> None:
    (path,) = service.state.settings.store.glob("materialized/*/*.bin")
    path.unlink()


def test_tensors_that_are_gone_are_made_again_on_the_platform_that_made_them(
    start: Callable[..., Running],
) -> None:
    before = start()
    resource = before.http.post("/v1/checkpoints", json=bound()).json()
    file = before.http.get(resource["links"]["files"]["model.safetensors"])
    before.stop()
    lose_tensors(before)
    after = start()
    again = after.http.get(file.request.url.path)
    assert again.content == file.content
    assert after.http.get(resource["links"]["self"]).json() == resource
    after.stop()
    lose_tensors(after)
    posted = start().issue(bound(), Accept="application/octet-stream")
    assert posted.content == file.content


def test_many_who_ask_for_tensors_that_are_gone_have_them_made_once(
    start: Callable[..., Running],
) -> None:
    before = start()
    resource = before.http.post("/v1/checkpoints", json=bound()).json()
    before.stop()
    lose_tensors(before)
    after = start(build_queue=0)  # One call to a worker is all that there is room for.

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=after.url, timeout=60, trust_env=False) as client:
            link = resource["links"]["files"]["model.safetensors"]
            return await asyncio.gather(*(client.get(link) for _ in range(8)))

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("pattern", "other", "said"),
    [
        (rb'"torch":"[^"]+"', b'"torch":"1.0.0"', "1.0.0"),
        (rb'"threads":\d+', b'"threads":4096', "4096"),
        (rb'"max_shard_size":"\d+"', b'"max_shard_size":"1000000"', "another version"),
    ],
)
def test_tensors_that_this_host_would_not_make_the_same_are_409(
    start: Callable[..., Running], pattern: bytes, other: bytes, said: str
) -> None:
    service = start()
    store = service.state.store
    canonical, _, description = store.plan(service.issue(bound()).json()["id"]).partition(b"\n")
    elsewhere = re.sub(pattern, other, canonical)
    id_ = digest(elsewhere)
    store.put_plan(id_, elsewhere + b"\n" + description, {})
    answer = service.http.get(f"/v1/checkpoints/{id_}/files/model.safetensors")
    assert said in assert_problem(answer, 409, "platform-mismatch")["detail"]
    # Where they are there already, any host serves them.
    (made,) = store.root.glob("materialized/*/*.bin")
    size_bytes = 4 * (20 * 256 + 256 + 256 * 10 + 10)
    store.put_materialized(id_, [made.read_bytes()[:size_bytes]])
    answer = service.http.get(f"/v1/checkpoints/{id_}/files/model.safetensors")
    assert answer.status_code == 200
