"""Waiting for what another thread or process does; how long it may take only ends a stuck test."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], failure: str = "", seconds: float = 60) -> None:
    """Returns when `condition` is true.

    Raises:
        AssertionError: it has not become true in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


def settled(value: Callable[[], float], seconds: float = 30) -> float:
    """`value` once it no longer grows.

    Raises:
        AssertionError: it goes on growing for so many seconds.
    """
    before, deadline = -1.0, time.monotonic() + seconds
    while before != (now := value()):
        assert time.monotonic() < deadline, "the work did not stop"
        before = now
        time.sleep(0.2)
    return now
