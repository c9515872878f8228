"""Use notes: records in the store of the checkpoints in use, which keep them from removal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cachetools import LRUCache

from seedpoint.service.errors import StoreUnreadable
from seedpoint.service.logger import get_logger
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.clock import Clock, Steps, system

log = get_logger("seedpoint.uses")

ROUND_SECONDS = 60.0  # A checkpoint in use is noted once a round.
REMEMBERED = 10_000  # Ids whose last use is known when the wall clock is set.


class Uses:
    """Last use of each checkpoint by this process, and the notes of it in the store.

    Notes have the time of the wall clock, by which files age; the monotonic clock decides when
    they are due. Belongs to one event loop, except for `mark`.
    """

    def __init__(self, store: CheckpointStore, *, clock: Clock = system) -> None:
        self._store = store
        self._clock = clock
        self._steps = Steps(clock())
        self._used_ns: LRUCache[str, int] = LRUCache(REMEMBERED)  # By the monotonic clock.
        self._marked: set[str] = set()

    def add(self, id_: str) -> None:
        """Remember that a use has just been noted in the store."""
        self._used_ns[id_] = self._clock().monotonic_ns

    def mark(self, id_: str) -> None:
        """Have the next round note a use. Thread-safe."""
        self._marked.add(id_)

    async def note(self, id_: str) -> bool:
        """Note a use, unless noted within a round; return False if the store has lost the plan."""
        noted_ns, now_ns = self._used_ns.get(id_), self._clock().monotonic_ns
        if noted_ns is not None and now_ns - noted_ns < ROUND_SECONDS * 1e9:
            return True
        self._used_ns[id_] = now_ns
        try:
            return await asyncio.to_thread(self._store.use, id_)
        except StoreUnreadable:  # The checkpoint in memory can be served; the next round notes it.
            self.mark(id_)
            return True

    async def run(self) -> None:
        """Run a round periodically, until cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self.round()
            except Exception:
                log.exception("the use of checkpoints could not be noted")

    async def round(self) -> None:
        """Note the marked uses and, after a step of the wall clock, all earlier uses again.

        Notes from before the step look older than they are, by the step. Each is repeated with
        its age by the monotonic clock.
        """
        now = self._clock()
        marked, self._marked = self._marked, set()
        due = dict.fromkeys(list(marked), now.monotonic_ns)
        for id_ in due:
            self._used_ns[id_] = now.monotonic_ns
        if self._steps.step_ns(now):
            due = dict(self._used_ns.items())
        ahead_ns = now.wall_ns - now.monotonic_ns
        await asyncio.to_thread(
            self._note_all, {id_: used_ns + ahead_ns for id_, used_ns in due.items()}
        )

    def _note_all(self, used_ns: Mapping[str, int]) -> None:
        for id_, wall_ns in used_ns.items():
            try:
                self._store.use(id_, wall_ns)
            except StoreUnreadable:  # Already logged.
                self.mark(id_)
