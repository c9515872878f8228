"""The probe writes now and again, and not for everybody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from seedpoint.service.errors import StoreFull
from seedpoint.service.storage import write_probe
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.write_probe import Probe


class Counted(CheckpointStore):
    """A store that counts its test writes, and may refuse them."""

    writes = 0
    refusal: Exception | None = None

    def check_writable(self) -> None:
        self.writes += 1
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    return Counted(DirectoryStore(tmp_path))


def test_callers_share_a_write_and_its_result(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_probe, "PROBE_SECONDS", 3600)
    probe = Probe(store)

    async def ask() -> list[str | None]:
        return await asyncio.gather(*(probe.reason() for _ in range(5)))

    assert asyncio.run(ask()) == 5 * [None]
    assert store.writes == 1


def test_a_result_is_forgotten_after_a_while(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_probe, "PROBE_SECONDS", 0)
    probe = Probe(store)

    async def ask() -> list[str | None]:
        first = await probe.reason()
        store.refusal = StoreFull("no space left")
        second = await probe.reason()
        store.refusal = None
        return [first, second, await probe.reason()]

    assert asyncio.run(ask()) == [None, "no space left", None]
