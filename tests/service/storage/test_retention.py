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

from seedpoint.service.storage import atomic_files
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.eviction import Policy
from seedpoint.service.storage.retention import QUIET_SECONDS, Retention
from tests.support.clocks import FakeClock
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

EVERYTHING = Policy(None, None, 10**12)


# --- in a store ------------------------------------------------------------------------


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(store: CheckpointStore, *literals: bytes) -> str:
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


def sweep(store: CheckpointStore, policy: Policy, *, serving: Iterable[str] = ()) -> None:
    clock = FakeClock()
    retention = Retention(store, policy, lambda id_: id_ not in serving, clock=clock)
    clock.pass_(QUIET_SECONDS)
    asyncio.run(retention.sweep())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> CheckpointStore:
    return CheckpointStore(DirectoryStore(root))


def test_a_plan_goes_with_the_literals_that_nobody_else_names(
    store: CheckpointStore, root: Path
) -> None:
    old, young = put(store, b"own", b"shared"), put(store, b"shared", b"another")
    for name in (old, digest(b"own"), digest(b"shared")):
        age(root, name, 5000)
    age(root, young, 500)
    sweep(store, Policy(1000, None, 10**12))
    assert not store.has_plan(old)
    assert store.has_plan(young)
    left = {path.name for path in root.glob("blobs/*/*")}
    assert left == {digest(b"shared"), digest(b"another")}


def test_what_belongs_to_a_plan_goes_with_it(store: CheckpointStore, root: Path) -> None:
    old, young = put(store, b"a"), put(store, b"b")
    for id_ in (old, young):
        store.put_materialized(id_, [b"tensors"])
        store.put_statistics(id_, b"{}")
        store.put_digests(id_, b"{}")
    (path,) = root.glob(f"plans/*/{old}.json")
    os.utime(path, (0, 0))
    sweep(store, Policy(1000, None, 10**12))
    assert {entry.name for entry in store.entries() if entry.kind != "blobs"} == {young}


def test_tensors_whose_plan_was_never_stored_go(store: CheckpointStore, root: Path) -> None:
    id_, unknown = put(store), "ab" * 32
    for name in (id_, unknown):
        store.put_materialized(name, [b"tensors"])
    sweep(store, EVERYTHING)
    assert store.materialized_version(unknown)
    for name in (id_, unknown):
        age(root, name, 5000)
    sweep(store, EVERYTHING)
    assert store.materialized_version(id_)
    assert not store.materialized_version(unknown)


def test_a_plan_that_is_being_served_stays(store: CheckpointStore, root: Path) -> None:
    served, idle = put(store, b"a"), put(store, b"b")
    for name in (served, idle):
        age(root, name, 5000)
    sweep(store, Policy(1000, None, 10**12), serving=[served])
    assert store.has_plan(served)
    assert not store.has_plan(idle)


def test_a_file_that_is_used_after_it_was_looked_at_stays(
    store: CheckpointStore, root: Path
) -> None:
    id_ = put(store)
    age(root, id_, 5000)
    (seen,) = store.entries()
    assert store.use(id_)
    assert not store.remove(seen)
    (seen,) = store.entries()
    assert store.remove(seen)
    assert not store.remove(seen)
    assert not store.use(id_)


def test_use_leaves_the_order_of_the_list_as_it_is(store: CheckpointStore, root: Path) -> None:
    ids = [put(store, b"%d" % number) for number in range(3)]
    for number, id_ in enumerate(ids):
        age(root, id_, 100 - number)
    store.use(ids[0])
    assert [item.id for item in store.page(10, None)[0]] == ids[::-1]


@pytest.mark.parametrize("use", ["use", "put", "statistics", "digests"])
def test_whatever_uses_a_file_says_so(store: CheckpointStore, root: Path, use: str) -> None:
    id_ = put(store, b"x")
    store.put_statistics(id_, b"{}")
    store.put_digests(id_, b"{}")
    age(root, id_, 5000)
    age(root, digest(b"x"), 5000)
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


def test_what_was_never_finished_goes_when_nobody_can_be_at_it_any_more(
    store: CheckpointStore, root: Path
) -> None:
    id_ = put(store, b"x")
    left = [
        root / "plans" / id_[:2] / f".{id_}.json.0123456789abcdef.tmp",
        root / ".probe.0123456789abcdef.tmp",
        root / "materialized" / "ab" / f".{'ab' * 32}.bin.0123456789abcdef.tmp",
        root / "whole_tensors" / "ab" / f".{'ab' * 20}.77.0123456789abcdef.tmp",
    ]
    others = [root / "plans" / id_[:2] / ".README", root / "NOTES.tmp"]
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


def test_what_is_still_being_written_stays_however_long_it_takes(
    store: CheckpointStore, root: Path
) -> None:
    path = root / "materialized" / "ab" / ("ab" * 32 + ".bin")
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


def test_an_empty_store_is_swept(store: CheckpointStore) -> None:
    sweep(store, Policy(1, 1, 1))


# --- in a service ------------------------------------------------------------------------


def plan_of(service: Running, id_: str) -> Path:
    """The path of a plan in the store; asking the service for the plan would count as a use."""
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
    (made,) = service.state.settings.store.glob("materialized/*/*.bin")
    size_bytes = 4 * (20 * 256 + 256 + 256 * 10 + 10)
    store.put_materialized(id_, [made.read_bytes()[:size_bytes]])
    answer = service.http.get(f"/v1/checkpoints/{id_}/files/model.safetensors")
    assert answer.status_code == 200
