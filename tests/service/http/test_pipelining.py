"""Several requests on one connection, and the time that each may take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seedpoint.service.http import connection as connections
from seedpoint.service.http.connection import MAX_WAITING
from tests.support.exchanges import GET, REQUEST, exchange
from tests.support.running import Running, mlp
from tests.support.transports import connected
from tests.support.waiting import reached, rested


def body_after(head: bytes, answer: bytes) -> bytes:
    return answer.partition(head)[2].partition(b"\r\n\r\n")[2]


def test_what_is_no_request_is_never_answered_in_the_middle_of_a_body(service: Running) -> None:
    (file,) = service.issue(mlp(3, hidden=400_000)).json()["links"]["files"].values()
    whole = service.http.get(file).content
    request = f"GET {file} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for garbage in (b"\x00 what?\r\n\r\n", REQUEST + b"X" * 1_000_000):
        body = body_after(b"HTTP/1.1 200 OK", exchange(service.port, request, garbage))
        assert len(body) < len(whole)
        assert whole.startswith(body)


def test_requests_sent_at_once_are_answered_in_their_order(service: Running) -> None:
    (file,) = service.issue(mlp(3, hidden=40_000)).json()["links"]["files"].values()
    whole = service.http.get(file).content
    spans = [(5, 9), (100_000, 3_000_000), (7, 7), (2_000_000, len(whole) - 1)]
    sent = b"".join(
        f"GET {file} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-{last}\r\n\r\n".encode()
        for first, last in spans
    )
    answer = exchange(service.port, sent + REQUEST + b"\r\n")
    for first, last in spans:
        head, _, answer = answer.partition(b"\r\n\r\n")
        assert b"content-range: bytes %d-%d/%d" % (first, last, len(whole)) in head.lower()
        assert answer[: last - first + 1] == whole[first : last + 1]
        answer = answer[last - first + 1 :]
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_who_leaves_is_gone_for_every_request_that_was_sent_at_once() -> None:
    left = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope["path"])

    async def test() -> None:
        connection, _ = connected(application)
        connection.data_received(GET.replace(b"/ ", b"/first ") + GET.replace(b"/ ", b"/second "))
        await rested()
        assert left == []
        connection.connection_lost(ConnectionResetError())
        await reached(lambda: left)
        await rested()

    asyncio.run(test())
    assert left == ["/first"]  # The second was never begun.


def test_no_more_requests_wait_on_a_connection_than_are_allowed() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()  # The client reads nothing.

    async def test() -> None:
        connection, transport = connected(application)
        connection.data_received(GET * MAX_WAITING)
        assert transport.ended == ""
        connection.data_received(GET * 9000)
        assert transport.ended == "aborted"
        assert len(connection.cycles) == MAX_WAITING
        connection.connection_lost(None)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("sent", "ended"),
    [
        (b"", "aborted"),
        (b"GET / HT", "aborted"),
        (GET + b"GET / HTTP/1.1\r\nX: ", ""),
        (GET, ""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow", ""),
    ],
)
def test_a_head_is_not_waited_for_for_ever_and_a_body_and_an_answer_are(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, ended: str
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.02)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        connection, transport = connected(application)
        connection.data_received(sent)
        await asyncio.sleep(0.2)  # The loop comes to the earlier deadline first, however late.
        assert transport.ended == ended
        connection.connection_lost(None)

    asyncio.run(test())


@pytest.mark.parametrize("rest", [b"", b"x"])
def test_the_rest_of_a_body_that_was_answered_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.02)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def test() -> None:
        connection, transport = connected(application)
        connection.data_received(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"))
        await reached(lambda: b"HTTP/1.1 204" in transport.written)
        if rest:
            connection.data_received(rest)
        await asyncio.sleep(0.2)  # The loop comes to the earlier deadline first, however late.
        assert transport.ended == ("aborted" if rest else "")  # Else it is kept alive a while.
        connection.connection_lost(None)

    asyncio.run(test())


def test_requests_that_are_answered_are_forgotten() -> None:
    async def test() -> None:
        answered = asyncio.Semaphore(0)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            answered.release()

        connection, transport = connected(application)
        for count in (MAX_WAITING, MAX_WAITING, 1):
            connection.data_received(GET * count)
            for _ in range(count):
                await answered.acquire()
        assert transport.written.count(b"HTTP/1.1 204") == 2 * MAX_WAITING + 1
        assert len(connection.cycles) == 1
        connection.data_received(b"what?\r\n\r\n")
        assert transport.ended == "half closed"
        assert b"HTTP/1.1 400 Bad Request\r\n" in transport.written
        connection.connection_lost(None)

    asyncio.run(test())
