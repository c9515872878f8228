"""Sound files that cannot be read now, and a store that cannot be written: nothing is damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from seedpoint.service.cli.serve import check_store
from tests.service.storage.test_damage import file_of
from tests.service.storage.test_retention import bound
from tests.support.blocks import forget_blocks
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp

# --- sound files that cannot be read ---------------------------------------------------------

SHORTAGES = [errno.EMFILE, errno.ENFILE, errno.ENOMEM]
FAULTS = [*SHORTAGES, errno.EIO, errno.EACCES, errno.ESTALE]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Has files whose path has a word in it refused to who reads them; 0 ends it."""
    refused = (0, "")
    read_bytes, open_ = Path.read_bytes, os.open

    def check(path: object) -> None:
        number, word = refused
        if number and f"/{word}/" in str(path):
            raise OSError(number, os.strerror(number), str(path))

    def checked_read(path: Path) -> bytes:
        check(path)
        return read_bytes(path)

    def checked_open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_ACCMODE == os.O_RDONLY:
            check(path)
        return open_(path, flags, *more, **named)

    def refuse(number: int, word: str = "") -> None:
        nonlocal refused
        refused = (number, word)

    monkeypatch.setattr(Path, "read_bytes", checked_read)
    monkeypatch.setattr(os, "open", checked_open)
    return refuse


def assert_unreadable(answer: httpx.Response, number: int, store: Path) -> None:
    problem = assert_problem(answer, 503, "store-unreadable")
    assert os.strerror(number) in problem["detail"]
    assert str(store) not in answer.text and "damaged" not in answer.text
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("number", FAULTS)
def test_a_sound_plan_that_cannot_be_read_is_not_called_damaged(
    start: Callable[..., Running], unreadable: Callable[..., None], number: int
) -> None:
    before = start()
    resource = before.issue(mlp()).json()
    before.stop()
    content = file_of(before, "plans").read_bytes()
    after = start()
    unreadable(number, "plans")
    assert_unreadable(after.http.get(resource["links"]["self"]), number, after.state.settings.store)
    unreadable(0)
    assert after.http.get(resource["links"]["self"]).json() == resource
    assert file_of(after, "plans").read_bytes() == content


@pytest.mark.parametrize("number", FAULTS)
@pytest.mark.parametrize("in_memory", [True, False])
def test_sound_tensors_that_cannot_be_read_are_neither_damaged_nor_made_again(
    start: Callable[..., Running],
    unreadable: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    in_memory: bool,
) -> None:
    service = start(cached_tensors=1)
    link = service.issue(bound()).json()["links"]["files"]["model.safetensors"]
    before = service.http.get(link).content
    if not in_memory:
        service.issue(mlp())
    forget_blocks(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(service.state.builders, "materialize", pytest.fail)
        unreadable(number, "materialized")
        assert_unreadable(service.http.get(link), number, service.state.settings.store)
        unreadable(0)
        assert service.http.get(link).content == before


@pytest.mark.parametrize("number", FAULTS)
def test_a_cache_that_cannot_be_read_is_made_again_unless_that_is_a_shortage(
    start: Callable[..., Running], unreadable: Callable[..., None], number: int
) -> None:
    before = start()
    resource = before.http.post("/v1/checkpoints", json=mlp()).json()
    before.stop()
    after = start()
    unreadable(number, "statistics")
    answer = after.http.get(resource["links"]["statistics"])
    if number in SHORTAGES:
        assert_unreadable(answer, number, after.state.settings.store)
    else:
        assert answer.json() == resource["statistics"]
    unreadable(0)
    assert after.http.get(resource["links"]["statistics"]).json() == resource["statistics"]


@pytest.mark.parametrize("number", SHORTAGES)
def test_a_shortage_where_nobody_expects_one_is_a_problem(
    running: Running, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def short(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(running.state.store, "page", short)
        answer = running.http.get("/v1/checkpoints")
    problem = assert_problem(answer, 503, "out-of-resources")
    assert os.strerror(number) in problem["detail"] and "secret" not in answer.text
    assert answer.headers["retry-after"]
    assert running.http.get("/v1/checkpoints").status_code == 200


def test_a_list_that_cannot_be_read_is_a_problem(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    running.issue(mlp())
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        answer = running.http.get("/v1/checkpoints")
    assert_unreadable(answer, errno.EACCES, running.state.settings.store)


def test_what_is_no_file_is_damage(running: Running) -> None:
    resource = running.issue(mlp()).json()
    running.state.checkpoints.retire(resource["id"])
    path = file_of(running, "plans")
    path.unlink()
    path.mkdir()
    assert_problem(running.http.get(resource["links"]["self"]), 500, "corrupt-store")


# --- a store that can be read only -----------------------------------------------------------


def test_a_store_that_can_be_read_only_is_served_after_a_start_too(
    start: Callable[..., Running], refusing: Callable[[int], None]
) -> None:
    before = start()
    resource = before.issue(mlp()).json()
    (link,) = resource["links"]["files"].values()
    content = before.http.get(link).content
    before.stop()
    refusing(errno.EROFS)
    after = start(ready=False)
    assert after.http.get(resource["links"]["self"]).json() == resource
    assert after.http.get(link).content == content
    assert after.http.get(resource["links"]["statistics"]).status_code == 200
    assert after.issue(mlp()).status_code == 200
    assert_problem(after.issue(mlp(1)), 503, "store-unwritable")
    ready = after.http.get("/readyz")
    assert ready.status_code == 503
    assert f"the store cannot be written: {os.strerror(errno.EROFS)}" in ready.json()["missing"]


def test_the_command_starts_on_a_store_that_has_plans_though_it_cannot_be_written(
    running: Running, refusing: Callable[[int], None], tmp_path: Path
) -> None:
    running.issue(mlp())
    refusing(errno.EROFS)
    check_store(running.state.settings.store)
    with pytest.raises(OSError, match="Read-only"):
        check_store(tmp_path / "none")
