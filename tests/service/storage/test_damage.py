"""A store that is damaged, full or not to be written: never other bytes, and never a crash."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from seedpoint.models.plan.plan import Plan
from seedpoint.service.cli.serve import check_store
from seedpoint.service.storage import write_probe
from tests.service.storage.test_retention import bound, digest
from tests.support.blocks import forget_blocks
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_probe, "PROBE_SECONDS", 0.05)


def file_of(service: Running, kind: str) -> Path:
    """The one file of a kind."""
    (path,) = (p for p in service.state.settings.store.glob(f"{kind}/*/*") if p.name[0] != ".")
    return path


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def truncate(path: Path, nbytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(nbytes)


# --- tensors that were made once -----------------------------------------------------------

DAMAGES: dict[str, Callable[[Path], None]] = {
    "a flipped bit": lambda path: flip(path, 10_000),
    "a flipped bit of the digests": lambda path: flip(path, path.stat().st_size - 40),
    "truncated": lambda path: truncate(path, 10_000),
    "empty": lambda path: truncate(path, 0),
    "without digests": lambda path: truncate(path, 4 * (20 * 256 + 256 + 256 * 10 + 10)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("in_memory", [True, False])
def test_tensors_that_are_damaged_are_made_again_and_never_served(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    service = start(cached_tensors=1)
    resource = service.issue(bound()).json()
    link = resource["links"]["files"]["model.safetensors"]
    before = service.http.get(link).content
    path = file_of(service, "materialized")
    whole = path.read_bytes()
    for name, damage in DAMAGES.items():
        if not in_memory:
            service.issue(mlp())  # Drives the other out.
        damage(path)
        forget_blocks(monkeypatch)  # No thread has just read it.
        assert service.http.get(link).content == before, name
        if not (in_memory and "digests" in name):  # These are in memory, too.
            assert path.read_bytes() == whole, name


def test_many_who_find_the_same_damage_have_it_mended_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mlp(5, hidden=100_000)
    spec["init"]["generator"] = "torch"
    link = running.issue(spec).json()["links"]["files"]["model.safetensors"]
    before = digest(running.http.get(link).content)
    made: list[str] = []
    builders = running.state.builders
    materialize = builders.materialize

    async def counted(plan: Plan) -> None:
        made.append(plan.id)
        await materialize(plan)

    monkeypatch.setattr(builders, "materialize", counted)
    path = file_of(running, "materialized")
    for at in range(0, 12_000_000, 1 << 20):  # Every block.
        flip(path, at)
    forget_blocks(monkeypatch)

    with ThreadPoolExecutor(4) as clients:
        found = clients.map(lambda _: digest(httpx.get(running.url + link).content), range(4))
        assert set(found) == {before}
    assert len(made) == 1


def elsewhere(service: Running) -> tuple[str, Path]:
    """A checkpoint of another platform, whose tensors are in the store: its file, and theirs."""
    store = service.state.store
    issued = service.issue(bound()).json()
    canonical, _, description = store.plan(issued["id"]).partition(b"\n")
    other = re.sub(rb'"torch":"[^"]+"', b'"torch":"1.0.0"', canonical)
    made = file_of(service, "materialized").read_bytes()
    file_of(service, "materialized").unlink()
    size_bytes = issued["totals"]["bytes"]
    store.put_materialized(digest(other), [made[:size_bytes]])
    store.put_plan(digest(other), other + b"\n" + description, {})
    path = file_of(service, "materialized")
    return f"/v1/checkpoints/{digest(other)}/files/model.safetensors", path


@pytest.mark.parametrize("in_memory", [True, False])
def test_tensors_that_are_damaged_and_cannot_be_made_here_are_a_problem(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    service = start(cached_tensors=1)
    link, path = elsewhere(service)
    whole = path.read_bytes()
    for name in ("a flipped bit", "truncated", "empty"):
        path.write_bytes(whole)
        if in_memory:
            assert service.http.get(link).status_code == 200
        else:
            service.issue(mlp())
        DAMAGES[name](path)
        forget_blocks(monkeypatch)
        answer = service.http.get(link)
        said = assert_problem(answer, 500, "corrupt-store")["detail"]
        assert f"materialized/{path.parent.name}/{path.name} in the store is damaged" in said
        assert "restore it from a backup" in said and "1.0.0" in said
        assert str(path) not in answer.text
    path.unlink()
    service.issue(mlp())
    assert_problem(service.http.get(link), 409, "platform-mismatch")


def test_damage_in_the_middle_of_a_body_is_mended_on_the_way(
    start: Callable[..., Running],
) -> None:
    service = start(chunk_bytes=1 << 18, look_ahead_chunks=2)
    spec = mlp(5, hidden=500_000)
    spec["init"]["generator"] = "torch"
    resource = service.issue(spec).json()
    link = resource["links"]["files"]["model.safetensors"]
    before = digest(service.http.get(link).content)
    found = bytearray()
    with service.http.stream("GET", link) as answer:
        for number, chunk in enumerate(answer.iter_raw(1 << 16)):
            if number == 0:
                path = file_of(service, "materialized")
                flip(path, path.stat().st_size - 1_000_000)
            found += chunk
    assert digest(bytes(found)) == before


# --- plans and caches --------------------------------------------------------------------


def test_a_plan_that_is_gone_is_stored_again_by_the_same_spec(
    start: Callable[..., Running],
) -> None:
    before = start()
    resource = before.issue(mlp()).json()
    file_of(before, "plans").unlink()
    assert before.issue(mlp()).json() == resource
    before.stop()
    assert start().http.get(resource["links"]["self"]).json() == resource


@pytest.mark.parametrize("at", [5, -5, -100])
def test_a_plan_that_is_damaged_is_a_problem_until_the_same_spec_is_posted(
    start: Callable[..., Running], at: int
) -> None:
    before = start()
    resource = before.issue(mlp()).json()
    path = file_of(before, "plans")
    flip(path, at % path.stat().st_size)
    after = start()
    problem = assert_problem(after.http.get(resource["links"]["self"]), 500, "corrupt-store")
    assert "POST the checkpoint's spec again" in problem["detail"]
    # Also where it is in memory: what is answered is in the store.
    again = before.issue(mlp())
    assert (again.status_code, again.json()) == (200, resource)
    assert after.http.get(resource["links"]["self"]).json() == resource


def test_literals_that_are_damaged_are_mended_by_the_same_spec(
    start: Callable[..., Running],
) -> None:
    spec = mlp()
    values = {"type": "values", "values": list(range(10))}
    spec["init"]["rules"] = [{"match": {"name": "output.bias"}, "initializer": values}]
    before = start()
    resource = before.issue(spec).json()
    before.stop()
    flip(file_of(before, "blobs"), 7)
    after = start()
    assert_problem(after.http.get(resource["links"]["self"]), 500, "corrupt-store")
    assert after.issue(spec).json() == resource
    assert after.http.get(resource["links"]["self"]).status_code == 200


@pytest.mark.parametrize("kind", ["statistics", "digests"])
@pytest.mark.parametrize("damage", [lambda p: flip(p, 40), lambda p: truncate(p, 30), Path.unlink])
def test_a_damaged_cache_is_made_again_and_never_served(
    start: Callable[..., Running], kind: str, damage: Callable[[Path], None]
) -> None:
    before = start()
    resource = before.http.post("/v1/checkpoints", json=mlp()).json()
    link = resource["links"]["files"]["model.safetensors"]
    wanted = {"Want-Repr-Digest": "sha-256=1"}
    sha256 = before.http.get(link, headers=wanted).headers["repr-digest"]
    before.stop()
    kept = file_of(before, kind).read_bytes()
    damage(file_of(before, kind))
    after = start()
    found = after.http.get(resource["links"]["statistics"])
    assert found.json() == resource["statistics"]
    assert after.http.get(link, headers=wanted).headers["repr-digest"] == sha256
    assert file_of(after, kind).read_bytes() == kept


# --- full, or not to be written ------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "slug"),
    [
        (errno.ENOSPC, 507, "store-full"),
        (errno.EDQUOT, 507, "store-full"),
        (errno.EROFS, 503, "store-unwritable"),
        (errno.EIO, 503, "store-unwritable"),
    ],
)
def test_a_spec_that_cannot_be_stored_is_a_problem_and_what_is_stored_is_served(
    running: Running, refusing: Callable[[int], None], number: int, status: int, slug: str
) -> None:
    known = running.issue(mlp(1)).json()
    refusing(number)
    problem = assert_problem(running.issue(mlp(2)), status, slug)
    assert os.strerror(number) in problem["detail"]
    assert str(running.state.settings.store) not in problem["detail"]
    eventually(lambda: running.http.get("/readyz").status_code == 503)
    (missing,) = running.http.get("/readyz").json()["missing"]
    assert missing == f"the store cannot be written: {os.strerror(number)}"
    assert running.http.get(known["links"]["self"]).status_code == 200
    answer = running.http.post("/v1/checkpoints", json=mlp(1))
    assert answer.status_code == 200 and answer.json()["statistics"]
    refusing(0)
    eventually(lambda: running.http.get("/readyz").status_code == 200)
    assert running.issue(mlp(2)).status_code == 201
    assert not list(running.state.settings.store.rglob("*.tmp"))


def test_statistics_and_digests_that_cannot_be_kept_are_known_all_the_same(
    running: Running, refusing: Callable[[int], None]
) -> None:
    resource = running.issue(mlp()).json()
    refusing(errno.ENOSPC)
    found = running.http.get(resource["links"]["statistics"])
    assert found.status_code == 200
    # Who was answered 202 comes back for what could not be kept.
    assert running.state.store.statistics(resource["id"]) == found.content
    assert running.state.store.digests(resource["id"])
    assert not list(running.state.settings.store.glob("statistics/*/*"))


def test_tensors_that_cannot_be_stored_by_a_worker_are_a_problem(running: Running) -> None:
    (running.state.settings.store / "materialized").write_bytes(b"")
    assert_problem(running.issue(bound()), 503, "store-unwritable")
    assert running.issue(mlp()).status_code == 201


def test_a_full_store_can_be_started_on_and_read(
    start: Callable[..., Running], refusing: Callable[[int], None]
) -> None:
    before = start()
    resource = before.issue(mlp()).json()
    before.stop()
    refusing(errno.ENOSPC)
    after = start(ready=False)
    assert after.http.get(resource["links"]["self"]).json() == resource
    assert after.http.get("/readyz").status_code == 503


def test_the_command_starts_on_a_full_store_and_on_no_other_that_cannot_be_written(
    tmp_path: Path, refusing: Callable[[int], None]
) -> None:
    refusing(errno.ENOSPC)
    check_store(tmp_path)
    refusing(errno.EROFS)
    with pytest.raises(OSError, match="Read-only"):
        check_store(tmp_path)
