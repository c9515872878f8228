"""Waits for other threads and processes; the timeouts only end stuck tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TURNS = 100  # Iterations of the event loop until it counts as idle.
LOOKS = 5  # Consecutive readings without a change until a value counts as settled.


def eventually(condition: Callable[[], object], failure: str = "", seconds: float = 60) -> None:
    """Wait until `condition` is true.

    Raises:
        AssertionError: it is still false after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


async def reached(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `condition` is true without blocking the event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def rested() -> None:
    """Wait until the event loop has done all work that is not waiting for time or I/O."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def settled(value: Callable[[], float], seconds: float = 60) -> float:
    """Return `value` once it stops growing.

    A bound on the final value also holds earlier, so a test of it does not depend on timing.

    Raises:
        AssertionError: it still grows after `seconds`.
    """
    before, looks, deadline = value(), 0, time.monotonic() + seconds
    while looks < LOOKS:
        assert time.monotonic() < deadline, "the work did not stop"
        time.sleep(0.1)
        looks = looks + 1 if before == (now := value()) else 0
        before = now
    return before
