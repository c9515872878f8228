"""Digests of representations: given when they are known, computed when they are asked for."""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.running import Running, mlp
from tests.support.waiting import eventually, settled

WANTED = {"Want-Repr-Digest": "sha-256=10"}
ENDLESS = mlp(hidden=1_000_000_000_000) | {"max_shard_size": "900TB"}  # 124 TB


def said(content: bytes) -> str:
    """The field for a representation (RFC 9530, 2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def file_of(service: Running, spec: dict[str, Any]) -> str:
    (link,) = service.issue(spec).json()["links"]["files"].values()
    assert isinstance(link, str)
    return link


def test_nothing_is_hashed_unasked(start: Callable[..., Running]) -> None:
    service = start()
    link = file_of(service, mlp())
    assert "repr-digest" not in service.http.get(link).headers
    assert "repr-digest" not in service.http.head(link).headers
    assert service.generated() == 7946


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", WANTED),
        ("", {"Want-Repr-Digest": "sha-512=3, sha-256=1"}),
        ("?digest=sha-256", {}),
    ],
)
def test_a_digest_that_is_asked_for_is_given(
    start: Callable[..., Running], method: str, query: str, headers: dict[str, str]
) -> None:
    service = start()
    link = file_of(service, mlp())
    got = service.http.request(method, link + query, headers=headers)
    content = service.http.get(link)
    assert got.status_code == 200
    assert got.headers["repr-digest"] == said(content.content)
    assert got.headers["content-length"] == str(len(content.content))
    assert content.headers["repr-digest"] == said(content.content)  # From now on it is known.


@pytest.mark.parametrize("wanted", ["sha-256=0", "sha-512=10", "sha-256", "sha-256=11", "?1", ""])
def test_what_asks_for_no_sha256_gets_none(service: Running, wanted: str) -> None:
    link = file_of(service, mlp(200))
    got = service.http.get(link, headers={"Want-Repr-Digest": wanted})
    assert got.status_code == 200
    assert "repr-digest" not in got.headers


def test_a_digest_of_another_algorithm_is_a_problem(service: Running) -> None:
    answer = service.http.get(file_of(service, mlp(200)), params={"digest": "md5"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "query.digest"


def test_a_range_has_the_digest_of_the_whole(service: Running) -> None:
    link = file_of(service, mlp(201))
    content = service.http.get(link).content
    part = service.http.get(link, headers={"Range": "bytes=5-99", **WANTED})
    assert part.status_code == 206
    assert part.content == content[5:100]
    assert part.headers["repr-digest"] == said(content)


def test_what_the_client_has_is_304_without_hashing(start: Callable[..., Running]) -> None:
    service = start()
    link = file_of(service, mlp())
    tag = service.http.head(link).headers["etag"]
    got = service.http.get(link, headers={"If-None-Match": tag, **WANTED})
    assert got.status_code == 304
    assert service.generated() == 0


def test_every_shard_and_the_index_have_digests(service: Running) -> None:
    spec = mlp(202) | {"max_shard_size": 20_480}
    for link in service.issue(spec).json()["links"]["files"].values():
        got = service.http.get(link, headers=WANTED)
        assert got.headers["repr-digest"] == said(got.content)


@pytest.mark.parametrize("slice_", ["", "3", "0:128,:", ":,::3"])
def test_tensors_and_slices_have_digests(service: Running, slice_: str) -> None:
    base = service.issue(mlp(203)).headers["location"]
    params = {"slice": slice_, "digest": "sha-256"}
    for accept in ("application/octet-stream", "application/json"):
        got = service.http.get(
            f"{base}/tensors/hidden.weight", params=params, headers={"Accept": accept}
        )
        assert got.headers["repr-digest"] == said(got.content)


@pytest.mark.parametrize("preferred", ["wait=60", "respond-async, wait=60"])
def test_what_was_preferred_of_a_digest_is_said(service: Running, preferred: str) -> None:
    link = file_of(service, mlp(205))
    said_of = {"Prefer": f"{preferred}, handling=strict"}
    for query, headers in (("?digest=sha-256", {}), ("", WANTED), ("", WANTED)):
        for method in ("GET", "HEAD"):
            got = service.http.request(method, link + query, headers=headers | said_of)
            assert got.status_code == 200
            assert got.headers["preference-applied"] == preferred
    assert "preference-applied" not in service.http.get(link, headers=said_of).headers


def test_octets_of_a_post_have_their_digest_when_wanted(service: Running) -> None:
    got = service.issue(mlp(204), Accept="application/octet-stream", **WANTED)
    assert got.headers["repr-digest"] == said(got.content)


def test_the_digests_of_a_small_checkpoint_come_with_its_statistics(
    start: Callable[..., Running],
) -> None:
    service = start()
    resource = service.http.post("/v1/checkpoints", json=mlp()).json()
    link = resource["links"]["files"]["model.safetensors"]
    head = service.http.head(link)
    assert service.generated() == 7946
    content = service.http.get(link).content
    assert head.headers["repr-digest"] == said(content)
    assert resource["statistics"]["files"]["model.safetensors"] == {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_digests_outlive_the_service_and_are_seen_by_others(
    start: Callable[..., Running],
) -> None:
    one, other = start(), start()
    link = file_of(one, mlp())
    assert "repr-digest" not in other.http.head(link).headers
    digest = one.http.head(link, headers=WANTED).headers["repr-digest"]
    one.stop()
    assert start().http.head(link).headers["repr-digest"] == digest
    before = other.generated()
    assert other.http.head(link, headers=WANTED).headers["repr-digest"] == digest
    assert other.generated() == before


def test_many_who_ask_at_once_share_the_work(start: Callable[..., Running]) -> None:
    service = start(digest_wait_seconds=60)
    spec = mlp(hidden=2_000_000)
    link = file_of(service, spec)
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda _: service.http.head(link, headers=WANTED), range(6)))
    assert len({answer.headers["repr-digest"] for answer in answers}) == 1
    assert service.generated() == service.issue(spec).json()["totals"]["parameters"]


# --- those that take long ------------------------------------------------------------


def test_a_digest_that_takes_long_is_202_with_progress_and_follows(
    start: Callable[..., Running],
) -> None:
    service = start()
    link = file_of(service, mlp(hidden=400_000)) + "?digest=sha-256"
    with service.holding_engine():
        begun = service.http.get(link, headers={"Prefer": "respond-async"})
    assert begun.status_code == 202
    assert begun.headers["retry-after"] == "1"
    assert begun.headers["preference-applied"] == "respond-async"
    assert begun.headers["cache-control"] == "no-store"
    progress = begun.json()["progress"]
    assert set(progress) == {
        *("state", "percent", "bytes_done", "bytes_total", "bytes_per_second"),
        *("elapsed_seconds", "remaining_seconds"),
    }
    assert 0 <= progress["bytes_done"] < progress["bytes_total"]
    head = until(lambda: service.http.head(link, headers={"Prefer": "wait=1"}))
    assert head.headers["repr-digest"].startswith("sha-256=:")


def until(ask: Callable[[], httpx.Response]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while (answer := ask()).status_code == 202:
        assert time.monotonic() < deadline
    assert answer.status_code == 200
    return answer


def test_a_wanted_digest_that_takes_long_is_left_out(start: Callable[..., Running]) -> None:
    service = start(digest_wait_seconds=0.01)
    link = file_of(service, ENDLESS)
    got = service.http.get(link, headers={"Range": "bytes=0-99", **WANTED})
    assert got.status_code == 206
    assert "repr-digest" not in got.headers


def test_a_client_that_leaves_stops_the_hashing(start: Callable[..., Running]) -> None:
    service = start(digest_wait_seconds=100)
    link = file_of(service, ENDLESS)
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        head = f"HEAD {link} HTTP/1.1\r\nHost: x\r\nWant-Repr-Digest: sha-256=1\r\n\r\n"
        client.sendall(head.encode())
        eventually(service.generated)
    settled(service.generated)  # It would go on for hours.
