"""Clients that read nothing, which are cut after a while."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol, TypeVar

from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.stalls")

Progress = tuple[int, int]


class Written(Protocol):
    """A connection that is written to."""

    def progress(self) -> Progress | None:
        """A value that changes when the client takes some bytes; None when none wait for it."""

    def cut(self) -> None:
        """Ends the connection at once and frees what waits to be sent."""


W = TypeVar("W", bound=Written)


class Stalls:
    """Cuts connections whose client has taken nothing for `seconds` though bytes wait for it.

    It looks at all of them now and again, so that a connection costs no timer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Written, tuple[Progress, float]] = {}

    def look(self, connections: Iterable[Written], now: float | None = None) -> int:
        """Cuts those that have stalled by `now`, a monotonic time; how many."""
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
            log.info("clients that read nothing were cut", connections=len(stalled))
        return len(stalled)
