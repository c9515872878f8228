"""Disconnection of clients that read nothing for a while."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol, TypeVar

from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.stalls")

Progress = tuple[int, int]


class Written(Protocol):
    """Connection that the server writes to."""

    def progress(self) -> Progress | None:
        """Return a value that changes as the client takes bytes; None if none wait for it."""

    def cut(self) -> None:
        """Reset the connection and free all unsent bytes."""


W = TypeVar("W", bound=Written)


class Stalls:
    """Detector that cuts clients which take none of their waiting bytes for `seconds`.

    It checks all connections periodically, so that a connection needs no timer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Written, tuple[Progress, float]] = {}

    def look(self, connections: Iterable[Written], now: float | None = None) -> int:
        """Cut connections stalled at the monotonic time `now`; return their number."""
        now = time.monotonic() if now is None else now
        since: dict[Written, tuple[Progress, float]] = {}
        stalled: list[Written] = []
        for connection in connections:
            if (progress := connection.progress()) is None:
                continue
            before = self._since.get(connection)
            if before is None or before[0] != progress:
                since[connection] = progress, now
            elif now - before[1] < self._seconds:
                since[connection] = before
            else:
                stalled.append(connection)
        self._since = since
        for connection in stalled:
            connection.cut()
        if stalled:
            log.info("stalled clients were disconnected", connections=len(stalled))
        return len(stalled)
