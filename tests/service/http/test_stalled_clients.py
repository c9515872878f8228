"""Clients that read nothing are cut after a while, and those that read slowly are not."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

import pytest

from seedpoint.service.http.stalled_clients import Progress, Stalls
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

ESTABLISHED = 1  # Of the states of TCP, as Linux tells them.


class Client:
    """A connection whose client takes bytes when the test says so."""

    def __init__(self, waiting: int = 100) -> None:
        self.waiting = waiting
        self.taken = 0
        self.is_cut = False

    def progress(self) -> Progress | None:
        return (self.waiting, self.taken) if self.waiting else None

    def cut(self) -> None:
        self.is_cut = True


def test_a_client_that_takes_nothing_is_cut_when_the_time_is_over() -> None:
    stalls, client = Stalls(60), Client()
    assert [stalls.look([client], now) for now in (1000.0, 1030.0, 1059.9)] == [0, 0, 0]
    assert not client.is_cut
    assert stalls.look([client], 1060.0) == 1
    assert client.is_cut


def test_a_client_that_takes_a_byte_now_and_again_is_not() -> None:
    stalls, client = Stalls(60), Client()
    for minute in range(100):
        client.taken += 1
        stalls.look([client], minute * 59.0)
    assert not client.is_cut


def test_nobody_is_cut_for_what_is_not_made_yet() -> None:
    stalls, client = Stalls(60), Client()
    stalls.look([client], 0.0)
    client.waiting = 0
    stalls.look([client], 59.0)
    client.waiting = 100
    assert stalls.look([client], 61.0) == 0
    assert stalls.look([client], 120.0) == 0
    assert stalls.look([client], 121.0) == 1


def test_one_that_stalls_costs_no_other_its_connection() -> None:
    stalls, stalled, slow = Stalls(60), Client(), Client()
    stalls.look([stalled, slow], 0.0)
    slow.taken = 1
    assert stalls.look([stalled, slow], 60.0) == 1
    assert stalled.is_cut and not slow.is_cut


def state(connected: socket.socket) -> int:
    """Return the state of a TCP connection, without reading from it."""
    return int(struct.unpack("B", connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0])


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the state of a connection")
@pytest.mark.parametrize("path", ["file", "catalogue"])
def test_a_service_cuts_who_reads_nothing(start: Callable[..., Running], path: str) -> None:
    service = start(write_timeout_seconds=0.5)
    (link,) = service.issue(mlp(1, hidden=400_000)).json()["links"]["files"].values()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        asked, times = (link, 1) if path == "file" else ("/v1/architectures", 200)
        client.sendall(f"GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times)
        eventually(lambda: state(client) != ESTABLISHED, seconds=60)
    assert service.http.get("/healthz").status_code == 200
