"""The Hub's read protocol: what is not there, and names that are none."""

from __future__ import annotations

import pytest

from tests.support.hub import (
    FILE,
    SHA,
    assert_missing,
    encoded,
    get,
)
from tests.support.running import Running, mlp

pytestmark = pytest.mark.usefixtures("zoo")


HOSTILE = [
    "../../../etc/passwd",
    "..",
    ".",
    "a/../model.safetensors",
    "model.safetensors/",
    "//model.safetensors",
    "model safetensors",
    "modèle.safetensors",
    "model.safetensors\n",
    "\x00",
    "%2e%2e",
    "\udcff",
    "resolve/main/model.safetensors",
    "a" * 5000,
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", [*HOSTILE, "config.json", "Model.safetensors"])
def test_a_file_that_is_not_there_is_entry_not_found(
    service: Running, method: str, name: str
) -> None:
    answer = service.http.request(method, f"/zoo/tiny-mlp/resolve/main/{encoded(name)}")
    assert_missing(answer, "EntryNotFound")
    assert SHA.fullmatch(answer.headers["x-repo-commit"])


@pytest.mark.parametrize(
    "revision",
    [
        *(name for name in HOSTILE if "/" not in name),
        *(
            "refs/pr/1",
            "v1.0",
            "Main",
            "seed-",
            "seed--1",
            "seed-01",
            "seed-1.0",
            "seed-x",
            "seed-\u0661",
        ),
        f"seed-{2**64}",
        "seed-" + "9" * 5000,
        "0" * 40,
        "f" * 40,
        "A" * 40,
    ],
)
def test_a_revision_that_is_not_there_is_revision_not_found(
    service: Running, revision: str
) -> None:
    named = encoded(revision)
    for path in (
        f"/zoo/tiny-mlp/resolve/{named}/{FILE}",
        f"/api/models/zoo/tiny-mlp/tree/{named}",
        f"/api/models/zoo/tiny-mlp/revision/{named}",
    ):
        assert_missing(get(service, path), "RevisionNotFound")
    repo = f"checkpoints/{service.issue(mlp(1)).json()['id'][:16]}"
    assert_missing(get(service, f"/{repo}/raw/{named}/{FILE}"), "RevisionNotFound")


@pytest.mark.parametrize(
    "repo",
    [
        *("gpt2", "meta-llama/Llama-3", "datasets/zoo/tiny-mlp", "zoo/tiny-mlpx", "zoo/Tiny-mlp"),
        *("zoo/..", "zoo/%2e", "../zoo/x", "zoo/tiny-mlp.seed-x", "zoo/.seed-1", "zoo/"),
        "zoo/tiny-mlp.seed-" + "9" * 30,
        *("checkpoints/0123456", "checkpoints/" + "0" * 64, "checkpoints/" + "0" * 65),
        *("checkpoints/..", "checkpoints/ABCDEF0123456789", "zoo/ü b", "zoo/\udcff", "\n/\n"),
        *(
            "checkpoints/\x00",
            "checkpoints/\r\nX-Other: y",
            "checkpoints/\x7f",
            "zoo/" + "a" * 9000,
        ),
        *("checkpoints/" + "\u202e" * 3000, "a" * 9000, "zoo/\\..\\x", "checkpoints/\udcff"),
    ],
)
def test_a_repository_that_is_not_there_is_repo_not_found(service: Running, repo: str) -> None:
    named = "/".join(map(encoded, repo.split("/")))
    path = f"/{named}/resolve/main/{FILE}"
    if repo.endswith("/"):
        assert get(service, path).status_code == 404
    else:
        assert_missing(get(service, path), "RepoNotFound")
        assert_missing(get(service, f"/api/models/{named}/revision/main"), "RepoNotFound")


def test_a_name_with_a_seed_has_no_other_seed(service: Running) -> None:
    path = f"/zoo/tiny-mlp.seed-3/resolve/seed-4/{FILE}"
    assert_missing(get(service, path), "RevisionNotFound")


def test_what_hub_clients_ask_besides_is_404(service: Running) -> None:
    assert get(service, "/api/agent-harnesses").status_code == 404
