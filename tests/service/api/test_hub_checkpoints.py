"""The Hub's read protocol, for issued checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch

from seedpoint.service.storage.store import key
from tests.support.hub import (
    FILE,
    assert_missing,
    get,
    sha,
)
from tests.support.running import Running, mlp

pytestmark = pytest.mark.usefixtures("zoo")


@pytest.fixture
def issued(service: Running) -> dict[str, Any]:
    issued: dict[str, Any] = service.issue(mlp(42)).json()
    return issued


@pytest.mark.parametrize("digits", [8, 12, 40, 64])
def test_an_issued_checkpoint_is_a_repository_by_its_first_digits(
    service: Running, issued: dict[str, Any], digits: int
) -> None:
    repo = f"checkpoints/{issued['id'][:digits]}"
    found = get(service, f"/{repo}/resolve/main/{FILE}")
    assert found.content == get(service, issued["links"]["files"][FILE]).content
    tensors = safetensors.torch.load(found.content)
    assert set(tensors) == {"hidden.weight", "hidden.bias", "output.weight", "output.bias"}
    commit = sha(service, repo)
    assert found.headers["x-repo-commit"] == commit
    assert get(service, f"/{repo}/resolve/{commit}/{FILE}").content == found.content
    assert sha(service, repo, "seed-42") == commit
    assert_missing(get(service, f"/{repo}/resolve/seed-43/{FILE}"), "RevisionNotFound")
    assert_missing(get(service, f"/{repo}/resolve/{'0' * 40}/{FILE}"), "RevisionNotFound")


def test_digits_that_two_ids_begin_with_name_neither(
    service: Running, issued: dict[str, Any]
) -> None:
    id_ = issued["id"]
    twin = service.state.settings.store / key("plans", id_[:20] + "0" * 44)
    twin.write_bytes(b"")
    try:
        answer = get(service, f"/checkpoints/{id_[:20]}/resolve/main/{FILE}")
        assert_missing(answer, "RepoNotFound")
        assert "2 ids" in answer.json()["detail"]
        assert get(service, f"/checkpoints/{id_[:40]}/resolve/main/{FILE}").status_code == 200
    finally:
        twin.unlink()


def test_a_restart_between_head_and_get_changes_nothing(start: Callable[..., Running]) -> None:
    before = start()
    path = f"/zoo/tiny-mlp/resolve/main/{FILE}"
    head = before.http.head(path)
    before.stop()
    after = start()
    got = get(after, path.replace("main", head.headers["x-repo-commit"]))
    assert got.headers["etag"] == head.headers["etag"]
    assert got.headers["content-length"] == head.headers["content-length"]
    assert (
        hashlib.sha256(got.content).hexdigest()
        == hashlib.sha256(get(after, path).content).hexdigest()
    )


def test_problems_are_of_the_one_shape(service: Running) -> None:
    problem = json.loads(get(service, f"/zoo/none/resolve/main/{FILE}").content)
    assert set(problem) == {"type", "title", "status", "detail", "errors", "request_id"}
