"""Connections whose transport is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from seedpoint.service.http.connection import Connection


class Transport(asyncio.Transport):
    """Keeps what is written; reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = self.ended or "half closed"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""


Application = Callable[[Any, Any, Any], Awaitable[None]]


def connected(application: Application) -> tuple[Connection, Transport]:
    """To be called in an event loop."""
    connection = Connection(Config(application, log_config=None), ServerState(), {})
    transport = Transport()
    connection.connection_made(transport)
    return connection, transport
