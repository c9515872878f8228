"""Large answers to many at once: one buffer for all who read the same, and a bound on the rest."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from seedpoint.service.api.links import Links
from seedpoint.service.api.multipart_checkpoint import Mixed
from seedpoint.service.concurrency import budget
from seedpoint.service.errors import Busy
from seedpoint.service.http import shared_documents
from seedpoint.service.statistics import checkpoint as computing
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

MIXED = {"Accept": "multipart/mixed", "Prefer": ""}
LARGE = 1_000  # Tensors of a pass that is not counted, here.
MANY = LARGE + 1


def many(seed: int = 0, *, tensors: int = MANY, last: int = 1) -> dict[str, Any]:
    """The spec of many tensors of one element, and a last one of `last` elements."""
    listed = [{"name": f"t{number}", "shape": [1]} for number in range(tensors - 1)]
    rule = {"match": {}, "initializer": {"type": "normal"}}
    return {
        "architecture": {"type": "tensors", "tensors": [*listed, {"name": "z", "shape": [last]}]},
        "init": {"seed": seed, "rules": [rule]},
        "max_shard_size": "900TB",
    }


@contextmanager
def asking(service: Running, request: bytes) -> Iterator[bytes]:
    """A client that reads the beginning of the answer, which it gives, and then nothing."""
    with socket.socket() as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(request)
        yield connection.recv(1 << 10)


def a_get(link: str) -> bytes:
    return f"GET {link} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def a_post(spec: dict[str, Any]) -> bytes:
    body = json.dumps(spec).encode()
    head = (
        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Accept: multipart/mixed\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def check_busy(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text[:500]
    assert answer.json()["type"] == "urn:problem-type:seedpoint:busy"
    assert answer.headers["retry-after"]


# --- documents -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(service: Running) -> list[str]:
    """Links of statistics that are known, of a few megabytes each."""
    specs = [many(seed, tensors=3 * MANY) for seed in (1, 2)]
    answers = [service.issue(spec, Prefer="wait=60") for spec in specs]
    assert all("statistics" in answer.json() for answer in answers)
    return [answer.json()["links"]["statistics"] for answer in answers]


def test_who_reads_slowly_shares_one_buffer_with_all_others(
    service: Running, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = known[0]
    content = service.http.get(link).content
    assert len(content) > 2 * shared_documents.LARGE_BYTES
    id_, reads = link.split("/")[3], []
    read = service.state.store.statistics

    def noting(id_: str) -> bytes | None:
        reads.append(id_)
        return read(id_)

    monkeypatch.setattr(service.state.store, "statistics", noting)
    eventually(lambda: service.state.documents.get(id_, "statistics") is None)
    with asking(service, a_get(link)) as first, asking(service, a_get(link)) as second:
        assert first.startswith(b"HTTP/1.1 200") and second.startswith(b"HTTP/1.1 200")
        assert service.http.get(link).content == content
        resource = service.http.get(link.removesuffix("/statistics"))
        assert resource.json()["statistics"] == json.loads(content)
        assert reads == [id_]
    eventually(
        lambda: service.state.documents.get(id_, "statistics") is None, "nobody reads it any more"
    )
    assert service.http.get(link).content == content
    assert len(reads) == 2


def test_large_documents_that_find_no_room_are_refused_and_small_ones_never(
    service: Running, known: list[str]
) -> None:
    service.state.documents.budget = budget.Budget(1)
    small = service.issue(mlp(), Prefer="wait=60").json()["links"]["statistics"]
    with asking(service, a_get(known[0])):
        check_busy(service.http.get(known[1]))
        check_busy(service.http.get(known[1].removesuffix("/statistics")))
        assert service.http.get(known[0]).is_success  # No more of it is in memory for that.
        assert service.http.get(known[0].removesuffix("/statistics")).is_success
        assert service.http.get(small).is_success
    eventually(lambda: service.http.get(known[1]).is_success, "there is no room again")


def test_one_checkpoint_alone_finds_room_however_large_it_is() -> None:
    shared = shared_documents.SharedDocuments(budget.Budget(shared_documents.LARGE_BYTES))
    large = bytes(2 * shared_documents.LARGE_BYTES)
    held = [shared.share("a", name, large) for name in ("resource", "statistics")]
    with pytest.raises(Busy):
        shared.share("b", "resource", large)
    held.clear()
    assert shared.share("b", "resource", large) == large


# --- passes --------------------------------------------------------------------------


@pytest.fixture
def sending(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> Running:
    """A service that has room for one large pass."""
    service = start()
    monkeypatch.setattr(computing, "LARGE_TENSORS", LARGE)
    service.state.statistics.passes = budget.Budget(MANY)
    return service


def held(service: Running) -> int:
    return service.state.statistics.passes.reserved


def test_large_passes_that_find_no_room_are_refused_and_small_ones_never(sending: Running) -> None:
    with asking(sending, a_post(many(last=3_000_000_000))) as begun:
        assert begun.startswith(b"HTTP/1.1 201")
        assert held(sending) == MANY
        check_busy(sending.http.post("/v1/checkpoints", json=many(1), headers=MIXED))
        for spec in (mlp(), many(2, tensors=MANY - 1)):
            assert sending.http.post("/v1/checkpoints", json=spec, headers=MIXED).is_success
        assert sending.issue(many(3), Accept="multipart/mixed").is_success  # Without statistics.
        assert held(sending) == MANY
    eventually(lambda: not held(sending), "the client has left, and its share is held")
    assert sending.http.post("/v1/checkpoints", json=many(1), headers=MIXED).is_success
    eventually(lambda: not held(sending), "the body has ended, and its share is held")


@pytest.mark.parametrize("first", [0, 100_000])
def test_a_pass_that_fails_gives_back_its_share(
    sending: Running, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    spec = many(last=1_000_000)
    id_ = sending.issue(spec).json()["id"]
    checkpoint = sending.within(sending.state.checkpoints.get(id_))
    fill = checkpoint.evaluator.fill

    def broken(tensor: int, start: int, *rest: Any) -> None:
        if start >= first:
            raise OSError("gone")
        fill(tensor, start, *rest)

    monkeypatch.setattr(checkpoint.evaluator, "fill", broken, raising=False)
    if first:
        with pytest.raises(httpx.RemoteProtocolError):
            sending.http.post("/v1/checkpoints", json=spec, headers=MIXED)
    else:
        answer = sending.http.post("/v1/checkpoints", json=spec, headers=MIXED)
        assert answer.status_code == 500
    eventually(lambda: not held(sending), "the pass has failed, and its share is held")


def test_a_resource_that_fails_gives_back_the_share_of_its_pass(
    sending: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> bytes:
        assert held(sending)
        raise OSError("gone")

    monkeypatch.setattr(sending.state.checkpoints, "resource", broken)
    answer = sending.http.post("/v1/checkpoints", json=many(), headers=MIXED)
    assert answer.status_code == 500
    eventually(lambda: not held(sending), "no body is made, and the share is held", 5)


def test_a_body_that_is_never_begun_gives_back_its_share(sending: Running) -> None:
    id_ = sending.issue(many()).json()["id"]
    checkpoint = sending.within(sending.state.checkpoints.get(id_))
    whole = asyncio.run(sending.state.statistics.begin(checkpoint))
    mixed = Mixed(sending.state, checkpoint, checkpoint.resource, whole, Links())
    answer = mixed.response(200, {})
    del mixed
    del whole
    assert held(sending) == MANY
    del answer
    assert held(sending) == 0
