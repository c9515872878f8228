"""Waiting for what another thread or process does; how long it may take only ends a stuck test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TURNS = 100
LOOKS = 5  # In a row that find no change, before a thing is taken to have come to rest.


def eventually(condition: Callable[[], object], failure: str = "", seconds: float = 60) -> None:
    """Returns when `condition` is true.

    Raises:
        AssertionError: it has not become true in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


async def reached(condition: Callable[[], object], seconds: float = 60) -> None:
    """As `eventually`, in an event loop, which goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def rested() -> None:
    """Returns when the event loop has done what it could without waiting for time or others."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def settled(value: Callable[[], float], seconds: float = 60) -> float:
    """`value` once it no longer grows: a bound on it holds sooner, too, so this asserts no time.

    Raises:
        AssertionError: it goes on growing for so many seconds.
    """
    before, looks, deadline = value(), 0, time.monotonic() + seconds
    while looks < LOOKS:
        assert time.monotonic() < deadline, "the work did not stop"
        time.sleep(0.1)
        looks = looks + 1 if before == (now := value()) else 0
        before = now
    return before
