"""Clients that leave or stop reading, and bodies that fail: work stops, and nothing looks whole."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable

import pytest

from tests.support.files import (
    FOREVER,
    break_after,
    exchange,
)
from tests.support.running import Running, mlp
from tests.support.waiting import eventually, settled


def leave(service: Running, request: bytes, read_bytes: int) -> None:
    """Sends a request, reads some of the answer and breaks the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(request)
        received = 0
        while received < read_bytes:
            received += len(connection.recv(min(1 << 16, read_bytes - received)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_leaves_stops_the_work(start: Callable[..., Running]) -> None:
    service = start()
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    leave(service, f"GET {file} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 10_000_000)
    # 10 MB are 2.5 million elements, and sockets hold a few more.
    assert settled(service.generated) < 30_000_000


def test_a_client_that_stops_reading_stops_the_work(start: Callable[..., Running]) -> None:
    service = start()
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(f"GET {file} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(1000)
        assert settled(service.generated) < 30_000_000


def test_a_client_that_leaves_stops_the_statistics(start: Callable[..., Running]) -> None:
    service = start(statistics_wait_seconds=1000, unasked_statistics_bytes=1 << 60)
    endless = mlp(hidden=1_000_000_000_000) | {"max_shard_size": "900TB"}
    body = json.dumps(endless).encode()
    head = f"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        eventually(service.generated)
    eventually(lambda: service.metric("seedpoint_statistics_running") == 0)


def test_a_body_that_fails_breaks_the_connection(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    resource = service.issue(mlp(hidden=1_000_000)).json()
    break_after(5_000_000, service, resource["id"], monkeypatch)
    (file,) = resource["links"]["files"].values()
    status, headers, body = exchange(service, f"GET {file} HTTP/1.1\n")
    assert status == "HTTP/1.1 200 OK"
    assert len(body) < int(headers["content-length"])
