"""Requests that the client repeats, and those that it must not repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from seedpoint_client import AsyncClient, Client, Problem
from seedpoint_client.flows.effects import Pause, Request, Send
from seedpoint_client.flows.retry import Retry, retry_after_seconds

from tests.support.places import EXAMPLES
from tests.support.running import Running
from tests.support.scripted_server import DROPPED, ScriptedServer, answer

SPEC = json.loads((EXAMPLES / "mlp.json").read_text())
ISSUED = answer("200 OK", b'{"id": "7"}')
CUT = answer("200 OK", b'{"id": ', length=100)
BUSY = answer("503 Service Unavailable", Retry_After="0")
GET, POST = (Request(method, "/v1/checkpoints") for method in ("GET", "POST"))


def steps(flow: Any, *results: Exception | int | httpx.Response) -> Iterator[float | str]:
    """Run a flow by hand: yield its pauses, then its result or the name of its error."""
    left = list(results)
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Pause):
                yield effect.seconds
                effect = flow.send(None)
                continue
            assert isinstance(effect, Send)
            result = left.pop(0)
            if isinstance(result, Exception):
                effect = flow.throw(result)
                continue
            if isinstance(result, int):
                result = httpx.Response(result)
            result.request = httpx.Request(effect.request.method, "http://seedpoint/")
            effect = flow.send(result)
    except StopIteration as done:
        yield str(done.value.status_code)
    except httpx.HTTPError as error:
        yield type(error).__name__
    assert left == []


def policy(**settings: Any) -> Retry:
    return Retry(**{"clock": lambda: 0.0, "jitter": lambda: 0.0, **settings})


class Flaky(httpx.BaseTransport):
    """Transport that fails before the request is sent, a number of times for each request."""

    def __init__(self, times: int) -> None:
        self.inner = httpx.HTTPTransport()
        self.times = self.left = times
        self.failures = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            self.failures += 1
            raise httpx.ConnectError("no route to host")
        self.left = self.times
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


def test_a_flaky_transport_is_not_noticed(service: Running) -> None:
    transport = Flaky(1)
    with Client(service.url, transport=transport) as client:
        checkpoint = client.issue(SPEC)
        assert client.get(checkpoint.id).id == checkpoint.id
        assert client.plan(checkpoint)
    assert transport.failures == 3


def test_no_more_attempts_are_made_than_allowed() -> None:
    transport = Flaky(100)
    client = Client("http://seedpoint", transport=transport, retries=2)
    with client, pytest.raises(httpx.ConnectError, match="no route"):
        client.get("7")
    assert transport.failures == 3


def test_connections_that_the_server_drops_are_made_again() -> None:
    with ScriptedServer(DROPPED, DROPPED, ISSUED) as server, Client(server.url) as client:
        assert client.issue(SPEC).id == "7"
    assert server.requests == ["POST /v1/checkpoints"] * 3


def test_a_get_whose_answer_is_cut_is_repeated() -> None:
    with ScriptedServer(CUT, ISSUED) as server, Client(server.url) as client:
        assert client.get("7").id == "7"
    assert server.requests == ["GET /v1/checkpoints/7"] * 2


def test_a_post_whose_answer_began_is_never_repeated() -> None:
    cut = pytest.raises(httpx.RemoteProtocolError)
    with ScriptedServer(CUT, ISSUED) as server, Client(server.url) as client, cut:
        client.issue(SPEC)
    assert server.requests == ["POST /v1/checkpoints"]


def test_a_busy_server_is_asked_again_by_either_client() -> None:
    with ScriptedServer(BUSY, BUSY, ISSUED) as server, Client(server.url) as client:
        assert client.issue(SPEC).id == "7"
    assert len(server.requests) == 3


@pytest.mark.parametrize("first", [DROPPED, BUSY, CUT])
def test_the_asynchronous_client_repeats_alike(first: bytes) -> None:
    import anyio

    async def get(url: str) -> str:
        async with AsyncClient(url) as client:
            return (await client.get("7")).id

    with ScriptedServer(first, ISSUED) as server:
        assert anyio.run(get, server.url) == "7"
    assert server.requests == ["GET /v1/checkpoints/7"] * 2


def test_pauses_double_and_are_bounded() -> None:
    error = httpx.ConnectError("refused")
    flow = policy(retries=8).exchange(GET)
    pauses = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert list(steps(flow, *[error] * 9)) == [*pauses, "ConnectError"]


def test_jitter_shortens_a_pause_by_up_to_half() -> None:
    flow = policy(jitter=lambda: 1.0).exchange(GET)
    assert list(steps(flow, httpx.ReadError("reset"), 200)) == [0.1, "200"]


def test_retry_after_is_the_pause() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "17"})
    assert list(steps(policy().exchange(POST), busy, 201)) == [17.0, "201"]


def test_a_pause_that_patience_does_not_cover_is_not_made() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "17"})
    assert list(steps(policy(patience_seconds=16).exchange(POST), busy)) == ["503"]


def test_a_busy_answer_without_a_pause_is_asked_again_ever_later() -> None:
    assert list(steps(policy().exchange(POST), 503, 429, 503, 200)) == [1.0, 2.0, 4.0, "200"]


def test_behind_a_gateway_only_a_safe_request_is_repeated() -> None:
    assert list(steps(policy().exchange(GET), 502, 504, 200)) == [1.0, 2.0, "200"]
    assert list(steps(policy().exchange(POST), 504)) == ["504"]


def test_a_slow_post_is_not_begun_anew() -> None:
    slow = httpx.ReadTimeout("slow")
    assert list(steps(policy().exchange(POST), slow)) == ["ReadTimeout"]
    assert list(steps(policy().exchange(GET), slow, 200)) == [0.2, "200"]


@pytest.mark.parametrize("error", [httpx.UnsupportedProtocol("ftp"), httpx.LocalProtocolError("x")])
def test_what_cannot_heal_is_not_repeated(error: Exception) -> None:
    assert list(steps(policy().exchange(GET), error)) == [type(error).__name__]


def test_retry_after_may_be_a_date() -> None:
    def seconds(text: str) -> float | None:
        return retry_after_seconds(httpx.Response(503, headers={"Retry-After": text}))

    later = datetime.now(timezone.utc) + timedelta(seconds=100)  # noqa: UP017
    pause = seconds(format_datetime(later, usegmt=True))
    assert pause is not None
    assert 0 < pause <= 100
    assert seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert seconds("12") == 12
    assert seconds("soon") is None


def test_an_error_without_a_problem_names_its_status() -> None:
    moved, refused = (
        answer("301 Moved Permanently", Location="/"),
        pytest.raises(Problem, match="301"),
    )
    with ScriptedServer(moved) as server, Client(server.url) as client, refused:
        client.get("7")
