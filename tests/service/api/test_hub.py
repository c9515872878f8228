"""The Hub's read protocol, request by request; tests/clients has it by the clients."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import huggingface_hub
import pytest
import safetensors.torch

from service import revisions
from tests.support.running import Running, mlp
from tests.support.zoo import Zoo

SHA = re.compile(r"[0-9a-f]{40}")
FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def zoo(monkeypatch: pytest.MonkeyPatch) -> Zoo:
    found = Zoo()
    monkeypatch.setattr(revisions, "presets", found)
    return found


def get(service: Running, path: str, **headers: str) -> httpx.Response:
    return service.http.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def encoded(text: str) -> str:
    """As one segment of a path, which no client normalizes."""
    return quote(text, safe="", errors="surrogateescape").replace(".", "%2e")


def sha(service: Running, repo: str, revision: str = "main") -> str:
    found: str = get(service, f"/api/models/{repo}/revision/{revision}").json()["sha"]
    return found


def assert_missing(answer: httpx.Response, code: str) -> None:
    assert answer.status_code == 404
    assert answer.headers["x-error-code"] == code
    assert 0 < len(answer.headers["x-error-message"]) <= 500
    assert answer.headers["x-error-message"].isprintable()
    assert "x-other" not in answer.headers
    if answer.request.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"


# --- files -------------------------------------------------------------------------


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


# --- commits ----------------------------------------------------------------------


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


# --- what is not there ------------------------------------------------------------

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


# --- the API ----------------------------------------------------------------------


def test_the_model_says_its_commit_and_files(service: Running) -> None:
    document = get(service, "/api/models/zoo/sharded").json()
    assert document["id"] == "zoo/sharded"
    assert SHA.fullmatch(document["sha"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["lastModified"])
    names = [sibling["rfilename"] for sibling in document["siblings"]]
    assert sorted(names) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        INDEX,
    ]
    assert set(document["siblings"][0]) == {"rfilename"}
    expanded = get(service, "/api/models/zoo/sharded?expand=siblings&expand=sha")
    assert expanded.json()["sha"] == document["sha"]


def test_with_blobs_it_says_their_sizes(service: Running) -> None:
    commit = sha(service, "zoo/sharded")
    for path in ("/api/models/zoo/sharded", f"/api/models/zoo/sharded/revision/{commit}"):
        for sibling in get(service, path + "?blobs=true").json()["siblings"]:
            head = service.http.head(f"/zoo/sharded/resolve/main/{sibling['rfilename']}")
            assert sibling["size"] == int(head.headers["content-length"])
            assert SHA.fullmatch(sibling["blobId"])


def test_the_tree_is_the_files(service: Running) -> None:
    answer = get(service, "/api/models/zoo/sharded/tree/main?recursive=true&expand=false")
    assert answer.headers["x-repo-commit"] == sha(service, "zoo/sharded")
    for entry in answer.json():
        assert entry["type"] == "file"
        assert "xetHash" not in entry
        head = service.http.head(f"/zoo/sharded/resolve/main/{entry['path']}")
        assert entry["size"] == int(head.headers["content-length"])
        assert SHA.fullmatch(entry["oid"])
        assert f'"{entry["oid"]}"' != head.headers["etag"]
    assert get(service, "/api/models/zoo/sharded/tree/main/").json() == answer.json()
    for folder in ("a", "a/b", "..", "\x00", INDEX):
        missing = get(service, f"/api/models/zoo/sharded/tree/main/{encoded(folder)}")
        assert_missing(missing, "EntryNotFound")


def test_the_sha256_of_a_small_checkpoint_is_computed_unasked(service: Running) -> None:
    entries = get(service, "/api/models/zoo/sharded/tree/seed-78").json()
    for entry in entries:
        content = get(service, f"/zoo/sharded/resolve/seed-78/{entry['path']}").content
        if entry["path"] == INDEX:
            assert "lfs" not in entry
        else:
            assert entry["lfs"]["oid"] == hashlib.sha256(content).hexdigest()


def test_a_json_files_oid_is_gits(service: Running) -> None:
    entries = get(service, "/api/models/zoo/sharded/tree/main").json()
    (index,) = (entry for entry in entries if entry["path"] == INDEX)
    content = get(service, f"/zoo/sharded/resolve/main/{INDEX}").content
    assert index["oid"] == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.mark.parametrize("wanted", [{"params": {"digest": "sha-256"}}, {}])
def test_lfs_is_there_when_the_true_sha256_is_known(
    start: Callable[..., Running], wanted: dict[str, Any]
) -> None:
    service = start(unasked_digest_bytes=0)
    url = "/api/models/zoo/tiny-mlp/tree/seed-77"
    assert "lfs" not in get(service, url).json()[0]
    path = f"/zoo/tiny-mlp/resolve/seed-77/{FILE}"
    headers = {} if wanted else {"Want-Repr-Digest": "sha-256=1"}
    assert service.http.head(path, headers=headers, **wanted).headers["repr-digest"]
    content = get(service, path).content
    lfs = get(service, url).json()[0]["lfs"]
    assert lfs["oid"] == hashlib.sha256(content).hexdigest()
    assert lfs["size"] == len(content)
    assert lfs["pointerSize"] == 125 + len(str(len(content)))
    (sibling,) = get(service, "/api/models/zoo/tiny-mlp.seed-77?blobs=true").json()["siblings"]
    assert sibling["lfs"]["sha256"] == lfs["oid"]


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"paths": [INDEX, "nothing", "../x"], "expand": "false"}},
        {"json": {"paths": [INDEX, "nothing", "../x", INDEX], "expand": False}},
        {"json": {"paths": INDEX}},
        {"data": {"paths": INDEX}},
    ],
)
def test_paths_info_takes_forms_and_json_and_drops_what_is_not_there(
    service: Running, sent: dict[str, Any]
) -> None:
    answer = service.http.post("/api/models/zoo/sharded/paths-info/main", **sent)
    assert answer.status_code == 200
    (entry,) = answer.json()
    tree = get(service, "/api/models/zoo/sharded/tree/main").json()
    assert entry in tree
    assert entry["path"] == INDEX


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"paths": NaN}', "application/json", 400),
        (b'{"paths": [], "paths": []}', "application/json", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"&paths=x" * 20_000, "application/x-www-form-urlencoded", 400),
        (b"[1]", "application/json", 422),
        (b'{"paths": [1]}', "application/json; charset=utf-8", 422),
        (b'{"paths": {"a": "b"}}', "application/json", 422),
        (b" " * 2_000_000, "application/json", 413),
    ],
)
def test_paths_that_cannot_be_read_are_a_problem(
    service: Running, body: bytes, content_type: str, status: int
) -> None:
    url = "/api/models/zoo/tiny-mlp/paths-info/main"
    answer = service.http.post(url, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_paths_are_no_entries(service: Running) -> None:
    for body in ({}, {"content": b""}, {"json": {}}):
        answer = service.http.post("/api/models/zoo/tiny-mlp/paths-info/main", **body)  # type: ignore[arg-type]
        assert answer.json() == []


def test_refs_have_the_main_branch(service: Running) -> None:
    document = get(service, "/api/models/zoo/tiny-mlp/refs").json()
    commit = sha(service, "zoo/tiny-mlp")
    branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
    assert document == {"branches": [branch], "tags": [], "converts": [], "pullRequests": []}
    assert_missing(get(service, "/api/models/zoo/nothing/refs"), "RepoNotFound")


def test_the_library_lists_refs_and_commits(service: Running) -> None:
    api = huggingface_hub.HfApi(service.url, token=False)
    commit = sha(service, "zoo/tiny-mlp")
    (branch,) = api.list_repo_refs("zoo/tiny-mlp", include_pull_requests=True).branches
    assert (branch.name, branch.target_commit) == ("main", commit)
    (listed,) = api.list_repo_commits("zoo/tiny-mlp", revision="main")
    assert listed.commit_id == commit
    assert "seed 0" in listed.title
    assert_missing(get(service, "/api/models/zoo/tiny-mlp/commits/none"), "RevisionNotFound")


def test_what_is_refused_of_a_file_tells_which_file_it_is(service: Running) -> None:
    link = "/zoo/tiny-mlp/resolve/main/model.safetensors"
    known = service.http.head(link).headers
    beyond = get(service, link, Range="bytes=99999999-")
    other = get(service, link, **{"If-Match": '"other"'})
    assert (beyond.status_code, other.status_code) == (416, 412)
    for answer in (beyond, other):
        assert answer.headers["etag"] == known["etag"]
        assert answer.headers["x-repo-commit"] == known["x-repo-commit"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_root_is_a_page_of_links_to_the_files(service: Running) -> None:
    for root in ("/zoo/sharded/resolve/seed-1/", "/zoo/sharded/resolve/seed-1"):
        page = get(service, root)
        assert page.headers["content-type"].startswith("text/html")
        links = re.findall('href="([^"]+)"', page.text)
        assert len(links) == 3
        for link in links:
            assert link.startswith("/zoo/sharded/resolve/seed-1/")
            assert service.http.head(link).status_code == 200


# --- issued checkpoints ------------------------------------------------------------


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
    store, id_ = service.state.store, issued["id"]
    twin = store._path("plans", id_[:20] + "0" * 44)
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
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
