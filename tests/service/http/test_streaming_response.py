"""Generated responses: exact message sequences, and no work without a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from seedpoint.service.http.streaming_response import GeneratedResponse
from tests.support.waiting import reached

Message = dict[str, Any]


class Client:
    """The other end: keeps what is sent, and leaves when told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(
            message | ({"body": bytes(message["body"])} if "body" in message else {})
        )


async def numbers(count: int, closed: list[int], fail_at: int = -1) -> AsyncGenerator[memoryview]:
    at = 0
    try:
        for at in range(count):
            await asyncio.sleep(0)
            if at == fail_at:
                raise OSError("gone")
            yield memoryview(b"%02d" % at)
    finally:
        closed.append(at)


def test_a_body_is_start_then_chunks_then_an_empty_end() -> None:
    async def test() -> None:
        client, closed = Client(), []
        response = GeneratedResponse(numbers(3, closed), 6, headers={"ETag": '"x"'})
        await response({"type": "http"}, client.receive, client.send)
        assert client.messages == [
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    *((b"etag", b'"x"'), (b"x-accel-buffering", b"no")),
                    (b"content-length", b"6"),
                ],
            },
            {"type": "http.response.body", "body": b"00", "more_body": True},
            {"type": "http.response.body", "body": b"01", "more_body": True},
            {"type": "http.response.body", "body": b"02", "more_body": True},
            {"type": "http.response.body", "body": b"", "more_body": False},
        ]
        assert closed == [2]

    asyncio.run(test())


def test_an_empty_body_is_start_and_end() -> None:
    async def test() -> None:
        client = Client()
        await GeneratedResponse(numbers(0, []), 0)({}, client.receive, client.send)
        assert [message["type"] for message in client.messages] == [
            "http.response.start",
            "http.response.body",
        ]

    asyncio.run(test())


def test_a_body_of_one_chunk_is_one_message() -> None:
    async def test() -> None:
        client, closed = Client(), []
        await GeneratedResponse(numbers(1, closed), 2)({}, client.receive, client.send)
        assert [(m.get("body"), m.get("more_body")) for m in client.messages] == [
            (None, None),
            (b"00", False),
        ]
        assert closed == [0]

    asyncio.run(test())


def test_a_client_that_leaves_before_a_small_body_is_made_ends_its_making() -> None:
    async def test() -> None:
        client, begun, ended = Client(), asyncio.Event(), asyncio.Event()

        async def never() -> AsyncGenerator[memoryview]:
            try:
                begun.set()
                await asyncio.Event().wait()
                yield memoryview(b"")
            finally:
                ended.set()

        sending = asyncio.create_task(
            GeneratedResponse(never(), 8)({}, client.receive, client.send)
        )
        await begun.wait()
        client.gone.set()
        await sending
        assert ended.is_set()
        assert client.messages == []

    asyncio.run(test())


def test_who_cancels_a_response_is_not_taken_for_a_client_that_left() -> None:
    async def test() -> None:
        client = Client()
        response = GeneratedResponse(numbers(10_000_000, []), 20_000_000)
        sending = asyncio.create_task(response({}, client.receive, client.send))
        await reached(lambda: client.messages)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(test())


def test_what_fails_before_the_first_chunk_fails_before_the_headers() -> None:
    async def test() -> None:
        client = Client()
        with pytest.raises(OSError, match="gone"):
            await GeneratedResponse(numbers(3, [], 0), 6)({}, client.receive, client.send)
        assert client.messages == []

    asyncio.run(test())


def test_what_fails_later_never_ends_the_body() -> None:
    async def test() -> None:
        client = Client()
        with pytest.raises(OSError, match="gone"):
            await GeneratedResponse(numbers(3, [], 2), 6)({}, client.receive, client.send)
        assert [m.get("more_body") for m in client.messages] == [None, True, True]

    asyncio.run(test())


def test_a_body_that_is_shorter_than_promised_never_ends() -> None:
    async def test() -> None:
        client = Client()
        with pytest.raises(RuntimeError, match="6 bytes, not 8"):
            await GeneratedResponse(numbers(3, []), 8)({}, client.receive, client.send)
        assert client.messages[-1]["more_body"]

    asyncio.run(test())


def test_a_client_that_leaves_closes_the_body_where_it_is() -> None:
    async def test() -> None:
        client, closed = Client(), []

        async def send(message: Message) -> None:
            await client.send(message)
            if len(client.messages) == 4:
                client.gone.set()

        # Long enough that the client is watched from the start.
        await GeneratedResponse(numbers(200_000, closed), 400_000)({}, client.receive, send)
        assert len(closed) == 1
        assert closed[0] < 20

    asyncio.run(test())


def test_a_client_that_leaves_while_nothing_can_be_sent_closes_the_body() -> None:
    async def test() -> None:
        client, closed = Client(), []

        async def send(message: Message) -> None:
            await client.send(message)
            if len(client.messages) == 3:
                client.gone.set()
                await asyncio.Event().wait()

        await GeneratedResponse(numbers(10, closed), 20)({}, client.receive, send)
        assert closed == [1]

    asyncio.run(test())
