"""The listening end: as many connections as there is room for, and the others wait their turn."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from seedpoint.service.server import listener
from seedpoint.service.server.listener import Listener


class Echo(asyncio.Protocol):
    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed()


class Refusing(socket.socket):
    """A listening socket that has no descriptor for the first connection."""

    refusals: ClassVar[list[int]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        if self.refusals:
            number = self.refusals.pop()
            raise OSError(number, os.strerror(number))
        return super().accept()


@asynccontextmanager
async def listening(most: int, kind: type[socket.socket] = socket.socket) -> AsyncIterator[Any]:
    """A listener, and the most that were open when one was opened."""
    peak = 0

    def opened(closed: Callable[[], None]) -> asyncio.Protocol:
        nonlocal peak
        peak = max(peak, made.count)
        return Echo(closed)

    with kind() as bound:
        bound.bind(("127.0.0.1", 0))
        made = Listener([bound], opened, most=most)
        made.start()
        yield made, lambda: peak
        made.close()
        await made.wait_closed()


async def connect(made: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = made.sockets[0].getsockname()
    return await asyncio.open_connection(host, port)


async def echoed(client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = client
    writer.write(b"hello")
    return await reader.readexactly(5)


def test_no_more_are_open_than_there_is_room_for_and_the_others_get_their_turn() -> None:
    async def test() -> None:
        async with listening(2) as (made, peak):
            first, second, third = [await connect(made) for _ in range(3)]
            assert [await echoed(first), await echoed(second)] == [b"hello"] * 2
            waiting = asyncio.create_task(echoed(third))
            assert await echoed(first) == b"hello"  # Who is in is answered meanwhile.
            assert not waiting.done() and made.count == 2
            first[1].close()
            assert await waiting == b"hello"
            assert peak() == 2
            second[1].close()
            third[1].close()

    asyncio.run(test())


def test_many_more_than_there_is_room_for_are_all_served() -> None:
    async def one(made: Listener) -> bytes:
        client = await connect(made)
        answer = await echoed(client)
        client[1].close()
        return answer

    async def test() -> None:
        async with listening(3) as (made, peak):
            assert await asyncio.gather(*(one(made) for _ in range(200))) == [b"hello"] * 200
            assert 1 <= peak() <= 3

    asyncio.run(test())


def test_a_shortage_of_the_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(Refusing, "refusals", [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED])

    async def test() -> None:
        async with listening(2, Refusing) as (made, _):
            client = await connect(made)
            assert await echoed(client) == b"hello"
            assert not Refusing.refusals
            client[1].close()

    asyncio.run(test())


def test_a_connection_that_cannot_be_opened_leaves_its_place() -> None:
    async def test() -> None:
        def opened(closed: Callable[[], None]) -> asyncio.Protocol:
            raise OSError(errno.ENOTCONN, "gone")

        with socket.create_server(("127.0.0.1", 0)) as bound:
            made = Listener([bound], opened, most=1)
            made.start()
            for _ in range(3):
                reader, writer = await connect(made)
                assert await reader.read() == b""
                writer.close()
            assert made.count == 0
            made.close()

    asyncio.run(test())
