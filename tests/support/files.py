"""Raw HTTP/1.1 requests for files."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.support.running import Running, mlp

FOREVER = mlp(hidden=3_000_000_000)  # 372 GB


def exchange(service: Running, request: str) -> tuple[str, dict[str, str], bytes]:
    """Send a raw request; return the response's status line, headers and body."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        text = request.replace("\n", "\r\n") + "Host: x\r\nConnection: close\r\n\r\n"
        connection.sendall(text.encode())
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return status, headers, body


def break_after(element: int, service: Running, id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make generation of the checkpoint fail in every range that starts after `element`."""
    evaluator = service.within(service.state.checkpoints.get(id_)).evaluator
    fill = evaluator.fill

    def broken(tensor: int, begin: int, stop: int, out: Any, observer: Any = None) -> None:
        if begin > element:
            raise OSError("gone")
        fill(tensor, begin, stop, out, observer)

    monkeypatch.setattr(evaluator, "fill", broken, raising=False)
