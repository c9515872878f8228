"""Use notes: once a round, and none for a plan that the store has lost."""

from __future__ import annotations

import asyncio
import errno
import hashlib

from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.store import Kind, Store
from seedpoint.service.storage.use_notes import ROUND_SECONDS, Uses
from tests.support.clocks import FakeClock


def put(store: CheckpointStore, number: int) -> str:
    plan = b"[%d]" % number
    id_ = hashlib.sha256(plan).hexdigest()
    store.put_plan(id_, plan, {})
    return id_


def test_a_use_is_noted_once_a_round(store: CheckpointStore, clock: FakeClock) -> None:
    uses, id_ = Uses(store, clock=clock), put(store, 1)

    def noted() -> int:
        (entry,) = store.entries()
        return entry.used_ns

    assert asyncio.run(uses.note(id_))
    first = noted()
    clock.pass_(ROUND_SECONDS / 2)
    assert asyncio.run(uses.note(id_))
    assert noted() == first
    clock.pass_(ROUND_SECONDS)
    assert asyncio.run(uses.note(id_))
    assert noted() > first
    (entry,) = store.entries()
    assert store.remove(entry)
    clock.pass_(ROUND_SECONDS)
    assert not asyncio.run(uses.note(id_))


def test_a_use_that_cannot_be_noted_is_noted_by_the_next_round(
    backend: Store, clock: FakeClock
) -> None:
    class Failing:
        """A backend that is short of descriptors once."""

        def __init__(self) -> None:
            self.failures = 1

        def __getattr__(self, name: str) -> object:
            return getattr(backend, name)

        def use(self, kind: Kind, name: str, used_ns: int) -> bool:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return backend.use(kind, name, used_ns)

    id_ = put(CheckpointStore(backend, clock=clock), 1)
    (before,) = backend.entries("plans")
    store = CheckpointStore(Failing(), clock=clock)  # type: ignore[arg-type]
    uses = Uses(store, clock=clock)
    clock.pass_(ROUND_SECONDS)
    assert asyncio.run(uses.note(id_))
    (noted,) = backend.entries("plans")
    assert noted == before
    asyncio.run(uses.round())
    (noted,) = backend.entries("plans")
    assert noted.used_ns > before.used_ns
