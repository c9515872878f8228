"""The Hub's read protocol: what its API says of repositories."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import huggingface_hub
import pytest

from tests.support.hub import (
    FILE,
    INDEX,
    SHA,
    assert_missing,
    encoded,
    get,
    sha,
)
from tests.support.running import Running

pytestmark = pytest.mark.usefixtures("zoo")


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
