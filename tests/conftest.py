"""Fixtures: a running service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

if TYPE_CHECKING:
    from tests.support.running import Running

# No test asserts a time; a law is the same however long an example of it takes.
hypothesis.settings.register_profile("seedpoint", deadline=None)
hypothesis.settings.load_profile("seedpoint")


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Tracebacks without the values of locals, which take seconds to print."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for the tests that leave it as it was."""
    from seedpoint.service.settings import Settings
    from tests.support.running import run_service

    running = run_service(Settings(store=tmp_path_factory.mktemp("store"), build_workers=1))
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a service with settings of its own; any that are still there end with the test."""
    from seedpoint.service.settings import Settings
    from seedpoint.service.storage.clock import Clock, system
    from tests.support.running import run_service

    started: list[Running] = []

    def start_one(*, ready: bool = True, clock: Clock = system, **settings: Any) -> Running:
        kept = {"store": tmp_path / "store", "build_workers": 1} | settings
        started.append(run_service(Settings(**kept), ready=ready, clock=clock))
        return started[-1]

    yield start_one
    for running in started:
        running.stop()
