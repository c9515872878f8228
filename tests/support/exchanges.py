"""Bytes sent to a service, and what comes back."""

from __future__ import annotations

import json
import socket

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def exchange(port: int, *pieces: bytes) -> bytes:
    """Return all that comes back for a request sent in these pieces."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
        except OSError:  # It is refused before it is sent.
            pass
        try:
            while data := client.recv(1 << 16):
                received += data
        except ConnectionError:  # What is not read any more resets the connection.
            pass
    return received


def assert_refused(answer: bytes, status: bytes, slug: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.lower().split(b"\r\n")
    assert line.startswith(b"http/1.1 " + status)
    assert {b"connection: close", b"content-type: application/problem+json"} <= set(fields)
    assert b"content-length: %d" % len(body) in fields
    assert json.loads(body)["type"].endswith(slug)
