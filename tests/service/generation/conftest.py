"""Fixtures of whole tensors: workers that run at once, or stand still."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from seedpoint.service import state
from seedpoint.service.generation import whole_tensors as wholes
from seedpoint.service.generation.whole_tensor_task import WholeTensorWorkers
from tests.support.running import Running
from tests.support.waiting import eventually
from tests.support.whole_tensors import link, orthogonal, workers_of


@pytest.fixture(scope="module")
def eager() -> Iterator[None]:
    """Workers that are not behind others: on a machine whose cores are busy they hardly run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "WholeTensorWorkers", partial(WholeTensorWorkers, niceness=0))
        yield


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is small: every whole is made by a worker."""
    monkeypatch.setattr(wholes, "SMALL_OPERATIONS", 0)


@pytest.fixture
def stopped() -> Iterator[Callable[[Running], list[int]]]:
    """Stops the workers that make wholes, which one request starts, until the test is over."""
    stopped: list[int] = []

    def stop(service: Running) -> list[int]:
        service.http.get(link(service, orthogonal(999)))
        workers = workers_of(service)
        eventually(lambda: len(workers.pids) == wholes.WORKERS)
        for pid in workers.pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        return workers.pids

    yield stop
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
