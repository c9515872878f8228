"""Fixtures of the store: a service of its own, and a disk that refuses what is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.store import Store
from tests.support.clocks import FakeClock
from tests.support.memory_store import MemoryStore
from tests.support.running import Running

BACKENDS: dict[str, Callable[[Path], Store]] = {
    "directory": DirectoryStore,
    "memory": lambda _: MemoryStore(),
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A backend: what is written above the interface works on each."""
    return BACKENDS[request.param](tmp_path / "store")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(backend: Store, clock: FakeClock) -> CheckpointStore:
    return CheckpointStore(backend, clock=clock)


@pytest.fixture
def running(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Has every write of this process refused for a reason; 0 ends it."""
    reason = 0
    write, fsync = os.write, os.fsync

    def refuse(number: int) -> None:
        nonlocal reason
        reason = number

    def check() -> None:
        if reason:
            raise OSError(reason, os.strerror(reason))

    def refused_write(descriptor: int, data: Any) -> int:
        if len(data) > 4000:  # Event loops wake themselves by writing a byte.
            check()
        return write(descriptor, data)

    def refused_fsync(descriptor: int) -> None:
        check()
        fsync(descriptor)

    monkeypatch.setattr(os, "write", refused_write)
    monkeypatch.setattr(os, "fsync", refused_fsync)
    yield refuse
    refuse(0)
