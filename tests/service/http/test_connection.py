"""Connections: send buffers that fit the distance."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from seedpoint.service.http import connection
from seedpoint.service.http.connection import NEAR_BUFFER_BYTES, Connection, round_trip_microseconds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of round trips")


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    """The server's end of a TCP connection on this host."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        closing(listener.accept()[0]) as accepted,
    ):
        yield accepted


class Transport(asyncio.Transport):
    def __init__(self, connected: socket.socket) -> None:
        super().__init__({"socket": connected, "peername": ("127.0.0.1", 1)})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Never called: nothing is sent."""


def connect(end: socket.socket) -> int:
    """The send buffer of a connection that has just been made, in bytes."""

    async def test() -> None:
        config = Config(application, log_config=None)
        Connection(config, ServerState(), {}).connection_made(Transport(end))

    asyncio.run(test())
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_a_client_on_this_host_has_a_send_buffer_that_stays_in_cache(
    loopback: socket.socket,
) -> None:
    assert connect(loopback) == 2 * NEAR_BUFFER_BYTES  # The kernel doubles what it is told.


def test_a_client_far_away_keeps_the_kernels_own_buffer(
    loopback: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loopback.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    monkeypatch.setattr(connection, "round_trip_microseconds", lambda _: 20_000)
    assert connect(loopback) == before


def test_the_round_trip_of_loopback_is_measured(loopback: socket.socket) -> None:
    elapsed = round_trip_microseconds(loopback)
    assert elapsed is not None and elapsed > 0


def test_a_socket_that_is_not_tcp_tells_no_round_trip() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert round_trip_microseconds(one) is None
        before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert connect(one) == before
