"""The Hub's read protocol, request by request: files and commits; tests/clients has clients."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from tests.support.hub import (
    FILE,
    INDEX,
    SHA,
    assert_missing,
    get,
    sha,
)
from tests.support.running import Running, mlp
from tests.support.zoo import Zoo

pytestmark = pytest.mark.usefixtures("zoo")


# --- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["resolve", "raw"])
def test_head_says_what_clients_need_and_computes_nothing(service: Running, verb: str) -> None:
    path = f"/zoo/tiny-mlp/{verb}/seed-3/{FILE}"
    before = service.metric("seedpoint_generated_elements_total")
    head = service.http.head(path, headers={"Range": "bytes=0-9"})
    assert service.metric("seedpoint_generated_elements_total") == before
    assert head.status_code == 200
    assert head.content == b""
    said = head.headers
    assert SHA.fullmatch(said["x-repo-commit"])
    assert re.fullmatch('"[0-9a-f]{40}"', said["etag"])
    assert said["x-linked-etag"] == said["etag"]
    assert said["x-linked-size"] == said["content-length"]
    assert said["accept-ranges"] == "bytes"
    assert said["x-hf-warning"].startswith("step0; ")
    assert "content-encoding" not in said
    assert not [name for name in said if name.startswith("x-xet")]
    got = get(service, path)
    assert len(got.content) == int(said["content-length"])
    assert {k: v for k, v in got.headers.items() if k != "date"} == {
        k: v for k, v in said.items() if k != "date"
    }


def test_a_preset_is_the_checkpoint_of_its_spec_and_seed(service: Running) -> None:
    (link,) = service.issue(mlp(7)).json()["links"]["files"].values()
    issued = get(service, link)
    found = get(service, f"/zoo/tiny-mlp/resolve/seed-7/{FILE}")
    assert found.content == issued.content
    assert found.headers["etag"] == issued.headers["etag"]


def test_main_is_seed_0_and_the_seed_may_be_in_the_name(service: Running) -> None:
    main = sha(service, "zoo/tiny-mlp")
    assert sha(service, "zoo/tiny-mlp", "seed-0") == main
    assert sha(service, "zoo/tiny-mlp.seed-0") == main
    seventh = sha(service, "zoo/tiny-mlp", "seed-7")
    assert sha(service, "zoo/tiny-mlp.seed-7") == seventh
    assert sha(service, "zoo/tiny-mlp.seed-7", "seed-7") == seventh
    assert sha(service, "zoo/tiny-mlp.seed-7", seventh) == seventh
    assert sha(service, "zoo/tiny-mlp", seventh) == seventh
    largest = 2**64 - 1
    assert sha(service, "zoo/tiny-mlp", f"seed-{largest}").endswith("f" * 16)
    assert get(service, "/api/models/zoo/other-1.5").status_code == 200


def test_commits_differ_by_seed_and_by_preset(service: Running) -> None:
    asked = [("tiny-mlp", 0), ("tiny-mlp", 1), ("other-1.5", 0), ("sharded", 0)]
    found = {sha(service, f"zoo/{name}", f"seed-{seed}") for name, seed in asked}
    assert len(found) == len(asked)


def test_etags_of_two_seeds_differ(service: Running) -> None:
    tags = {
        service.http.head(f"/zoo/sharded/resolve/seed-{seed}/{name}").headers["etag"]
        for seed in (1, 2)
        for name in ("model-00001-of-00002.safetensors", INDEX)
    }
    assert len(tags) == 4


def test_a_range_is_206_with_the_same_etag(service: Running) -> None:
    path = f"/zoo/tiny-mlp/resolve/main/{FILE}"
    whole = get(service, path)
    part = get(service, path, Range="bytes=1000-1999")
    assert part.status_code == 206
    assert part.content == whole.content[1000:2000]
    assert part.headers["etag"] == whole.headers["etag"]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.content)}"
    past = get(service, path, Range=f"bytes={len(whole.content)}-")
    assert past.status_code == 416
    assert past.headers["content-range"] == f"bytes */{len(whole.content)}"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_client_has_is_304_with_the_commit(service: Running, method: str) -> None:
    path = f"/zoo/tiny-mlp/resolve/main/{FILE}"
    etag = service.http.head(path).headers["etag"]
    got = service.http.request(method, path, headers={"If-None-Match": etag})
    assert got.status_code == 304
    assert got.headers["etag"] == etag
    assert got.headers["x-repo-commit"] == sha(service, "zoo/tiny-mlp")


def test_only_a_commit_may_be_kept_without_asking_again(service: Running) -> None:
    commit = sha(service, "zoo/tiny-mlp")
    branch = service.http.head(f"/zoo/tiny-mlp/resolve/main/{FILE}")
    fixed = service.http.head(f"/zoo/tiny-mlp/resolve/{commit}/{FILE}")
    assert branch.headers["cache-control"] == "no-cache"
    assert "immutable" in fixed.headers["cache-control"]


def test_no_coding_is_ever_applied(service: Running) -> None:
    path = f"/zoo/sharded/resolve/main/{INDEX}"
    got = get(service, path, Accept_Encoding="gzip, br, zstd, identity;q=0")
    assert "content-encoding" not in got.headers
    assert got.json()["weight_map"]


def test_a_token_makes_no_difference(service: Running) -> None:
    path = f"/zoo/tiny-mlp/resolve/main/{FILE}"
    assert get(service, path, Authorization="Bearer hf_x").content == get(service, path).content


# --- commits -----------------------------------------------------------------------------


def test_a_commit_is_enough_for_a_service_that_has_never_seen_it(
    service: Running, start: Callable[..., Running]
) -> None:
    commit = sha(service, "zoo/sharded", "seed-11")
    other = start()
    shard = f"/zoo/sharded/resolve/{commit}/model-00002-of-00002.safetensors"
    assert get(other, shard).content == get(service, shard).content
    assert sha(other, "zoo/sharded", "seed-11") == commit


def test_a_commit_of_another_version_is_unknown_and_never_other_bytes(
    service: Running, zoo: Zoo
) -> None:
    commit = sha(service, "zoo/tiny-mlp", "seed-5")
    zoo.specs["tiny-mlp"] = mlp(hidden=128)
    assert sha(service, "zoo/tiny-mlp", "seed-5") != commit
    assert_missing(get(service, f"/zoo/tiny-mlp/resolve/{commit}/{FILE}"), "RevisionNotFound")


def test_a_commit_that_another_version_gave_is_answered_from_what_it_planned(
    service: Running,
) -> None:
    plain = service.state.store.plan(service.issue(mlp(5)).json()["id"])
    uniform = (b'"f32":[0.125,-0.0625],"high":0.0625,"low":-0.0625', b'"f32":[0.25,-0.125],')
    record = plain.replace(uniform[0], uniform[1] + b'"high":0.125,"low":-0.125')
    assert record != plain
    id_ = hashlib.sha256(record.partition(b"\n")[0]).hexdigest()
    service.state.store.put_plan(id_, record, {})
    commit = id_[:24] + f"{5:016x}"
    stored = get(service, f"/zoo/tiny-mlp/resolve/{commit}/{FILE}")
    assert stored.headers["x-repo-commit"] == commit
    assert stored.content == get(service, f"/v1/checkpoints/{id_}/files/{FILE}").content
    assert stored.content != get(service, f"/zoo/tiny-mlp/resolve/seed-5/{FILE}").content
    assert_missing(get(service, f"/zoo/other-1.5/resolve/{commit}/{FILE}"), "RevisionNotFound")


def test_a_repository_does_not_answer_for_anothers_commit(service: Running) -> None:
    commit = sha(service, "zoo/other-1.5", "seed-5")
    assert_missing(get(service, f"/zoo/tiny-mlp/resolve/{commit}/{FILE}"), "RevisionNotFound")
