"""Fixtures of clients: a zoo, a large file, and a connection that is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from seedpoint.service.checkpoints import hub_revisions
from tests.support.clients import LARGE, Cutter
from tests.support.running import Running
from tests.support.zoo import Zoo


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repositories of `Zoo` in place of the presets."""
    monkeypatch.setattr(hub_revisions, "presets", Zoo())


@pytest.fixture
def large(service: Running) -> bytes:
    """50 MB, as they are in one piece."""
    return service.http.get(LARGE).content


@pytest.fixture
def cutter(service: Running) -> Iterator[Callable[..., Cutter]]:
    made: list[Cutter] = []

    def cut(*, after_bytes: int, times: int) -> Cutter:
        made.append(Cutter(service.port, after_bytes=after_bytes, times=times))
        return made[-1]

    yield cut
    for one in made:
        one.close()
