"""Heads and trailers of requests: their limits, and bytes that are no request."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
import structlog

from seedpoint.service.http.connection import MAX_HEAD_BYTES, MAX_WAITING, PIECE_BYTES
from tests.support.exchanges import GET, REQUEST, assert_refused, exchange
from tests.support.running import Running, mlp
from tests.support.transports import connected
from tests.support.waiting import eventually

LIMIT = MAX_HEAD_BYTES


# --- trailers --------------------------------------------------------------------

CHUNKED = b"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
CHUNKED += b"Content-Type: application/json\r\nConnection: close\r\n\r\n"


def chunked(*fields: bytes) -> bytes:
    """A POST of a spec whose body ends in these trailer fields."""
    body = json.dumps(mlp(77)).encode()
    trailers = b"".join(field + b"\r\n" for field in fields)
    return CHUNKED + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


def test_a_trailer_is_no_field_of_the_head(service: Running) -> None:
    answer = exchange(service.port, chunked(b"X-Request-Id: late", b"X-Forwarded-Prefix: /evil"))
    assert answer.startswith(b"HTTP/1.1 20") and b"evil" not in answer and b"late" not in answer


@pytest.mark.parametrize("field", [b"x: y", b"x: " + b"y" * 1000])
def test_trailers_are_bounded_as_a_head_is(service: Running, field: bytes) -> None:
    request = chunked(*[field] * (4 * LIMIT // len(field)))
    assert b"20" not in exchange(service.port, request)[:12]


# --- heads -----------------------------------------------------------------------


def answered_with(port: int, *pieces: bytes) -> bytes:
    return exchange(port, *pieces)[:12]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\n\r\n",),
        (b"GET /?" + b"a" * 1_000_000,),
        (REQUEST + b"Range: bytes=" + b"0-0," * (LIMIT // 4) + b"\r\n\r\n",),
        (REQUEST + b"X: " + b"a" * 1_000_000,),
        (REQUEST + b"X" * 1_000_000,),
        (REQUEST + b"X: y\r\n" * LIMIT + b"\r\n",),
        (REQUEST, b"X: ", *[b"a" * 1000] * 2000),
        (REQUEST, *[b"X: y\r\n" * 1000] * 200),
    ],
    ids=["path", "query", "ranges", "value", "name", "fields", "value in pieces", "and fields"],
)
def test_a_head_that_is_too_long_is_431(service: Running, pieces: tuple[bytes, ...]) -> None:
    assert_refused(exchange(service.port, *pieces), b"431", "head-too-large")
    assert service.http.get("/healthz").status_code == 200


def test_a_head_just_as_long_as_allowed_is_read(service: Running) -> None:
    room = LIMIT - len(REQUEST + b"X: \r\n\r\n")
    for surplus, status in ((0, b"200"), (1, b"431")):
        request = REQUEST + b"X: " + b"a" * (room + surplus) + b"\r\n\r\n"
        assert answered_with(service.port, request) == b"HTTP/1.1 " + status


@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "after another"])
@pytest.mark.parametrize("field", [b"X: y\r\n", b"a"], ids=["fields", "a name"])
def test_a_long_head_that_comes_at_once_and_does_not_end_is_refused_at_once(
    before: bytes, field: bytes
) -> None:
    """With nothing sent after it, and however much of a read is taken at once."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        connection, transport = connected(answer)
        head = b"GET / HTTP/1.1\r\nHost: x\r\n"
        connection.data_received(before + head + field * ((LIMIT + 2 * PIECE_BYTES) // len(field)))
        assert transport.ended and (before or b" 431 " in transport.written)
        connection.connection_lost(None)

    asyncio.run(test())


def test_long_bodies_and_many_requests_are_no_long_head(service: Running) -> None:
    sent = b"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    sent += b"Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n"
    assert answered_with(service.port, sent, b" " * 100_000, b" " * 100_000) == b"HTTP/1.1 400"
    many = REQUEST.replace(b"Connection: close\r\n", b"\r\n") * (MAX_WAITING - 1)
    answers = exchange(service.port, many + REQUEST + b"\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == MAX_WAITING


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\x001\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a,b\r\n\r\n",
    ],
)
def test_what_is_no_request_is_400(service: Running, sent: bytes) -> None:
    assert_refused(exchange(service.port, sent), b"400", "malformed-request")


@pytest.mark.parametrize("host", [b"", b"Host: x\r\n"])
def test_http_1_0_needs_no_host(service: Running, host: bytes) -> None:
    answer = exchange(service.port, b"GET /healthz HTTP/1.0\r\n" + host + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


def test_who_goes_on_sending_what_is_refused_is_cut_off(service: Running) -> None:
    address = ("127.0.0.1", service.port)
    with socket.create_connection(address, timeout=60) as client, pytest.raises(ConnectionError):
        client.sendall(b"GET /" + b"a" * 1_000_000_000)


@pytest.mark.parametrize("first", [b"GET /v1/initializers", b"POST /v1/checkpoints"])
def test_what_proves_to_be_no_request_ends_what_was_begun_of_it(
    service: Running, first: bytes
) -> None:
    head = first + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with structlog.testing.capture_logs() as lines:
        answer = exchange(service.port, head + b"ZZZ\r\n")
        eventually(lambda: len(lines) == 2)
    assert_refused(answer, b"400", "malformed-request")
    assert [line["event"] for line in lines] == ["refused", "request"]  # And no traceback.


def test_a_host_that_is_missing_is_told_of(service: Running) -> None:
    assert b"one `Host`" in exchange(service.port, b"GET /healthz HTTP/1.1\r\n\r\n")


# --- another protocol ------------------------------------------------------------------

UPGRADES = [b"h2c", b"websocket", b"foo"]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_body_is_never_taken_for_a_request(
    service: Running, method: bytes, upgrade: bytes
) -> None:
    body = b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"
    head = method + b" /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    head += b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade
    for pieces in ((head, body), (head + body,), (head[:50], head[50:], body[:9], body[9:])):
        answer = exchange(service.port, *pieces, REQUEST + b"\r\n")
        assert answer.count(b"HTTP/1.1 ") == 2  # That, and the one after it.
        assert b"torch" not in answer


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_request_for_another_protocol_is_answered_in_this_one(
    service: Running, upgrade: bytes
) -> None:
    fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": upgrade.decode()}
    answer = service.http.post("/v1/checkpoints", json=mlp(), headers=fields)
    assert answer.status_code in {200, 201}
    asking = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    asking += b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade
    answers = exchange(service.port, asking * (MAX_WAITING - 1) + REQUEST + b"\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == MAX_WAITING
