"""Retention: sweeps of the store that remove what `eviction` chooses and what was left over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from seedpoint.service.logger import get_logger
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.clock import Clock, Steps, system
from seedpoint.service.storage.eviction import Policy, doomed
from seedpoint.service.storage.store import Entry
from seedpoint.service.storage.use_notes import ROUND_SECONDS

log = get_logger("seedpoint.retention")

SWEEP_SECONDS = 60.0  # Shortest pause between sweeps.
IDLE_SHARE = 20  # A pause lasts at least this many times as long as the sweep before it.
LEFT_SECONDS = 300.0  # An older temporary file is abandoned, unless it is locked.
QUIET_SECONDS = 2 * ROUND_SECONDS  # Time in which every process notes its uses.
PLANLESS_SECONDS = 3600.0  # Time that tensors wait for their plan, which is stored after them.


class Retention:
    """Enforcement of a policy on the store. Belongs to one event loop.

    `retire(id)` is called before a plan or its tensors are removed; it returns whether no client
    is being served from them. Literals are removed once no plan names them, and so are blobs that
    are too old; `uploads` bounds their size.

    Files age by the wall clock, which may be wrong. After a start, and after a step of the wall
    clock against the monotonic clock, no finished file is removed for `QUIET_SECONDS`.
    """

    def __init__(
        self,
        store: CheckpointStore,
        policy: Policy,
        retire: Callable[[str], bool],
        *,
        clock: Clock = system,
    ) -> None:
        self._store = store
        self._policy = policy
        self._retire = retire
        self._clock = clock
        now = clock()
        self._steps = Steps(now)
        self._quiet_until_ns = now.monotonic_ns + int(QUIET_SECONDS * 1e9)
        self._tidy_from_ns = now.monotonic_ns

    async def run(self) -> None:
        """Sweep periodically, until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self.sweep()
            except OSError as error:  # Out of descriptors, or not writable.
                log.warning("the store could not be swept", reason=str(error))
            except Exception:
                log.exception("the store could not be swept")
            spent = time.monotonic() - started
            await asyncio.sleep(max(SWEEP_SECONDS, IDLE_SHARE * spent))

    async def sweep(self) -> None:
        """Remove abandoned temporary files and, unless it is quiet time, what the policy drops."""
        now = self._clock()
        if step_ns := self._steps.step_ns(now):
            log.warning("the clock was set; the store is not swept for now", seconds=step_ns / 1e9)
            self._quiet_until_ns = now.monotonic_ns + int(QUIET_SECONDS * 1e9)
        if now.monotonic_ns >= self._tidy_from_ns:
            self._tidy_from_ns = now.monotonic_ns + int(LEFT_SECONDS * 1e9)
            left_ns = now.wall_ns - int(LEFT_SECONDS * 1e9)
            await asyncio.to_thread(self._store.discard_unfinished, left_ns)
        if now.monotonic_ns >= self._quiet_until_ns:
            await self._sweep(now.wall_ns)

    async def _sweep(self, now_ns: int) -> None:
        await asyncio.to_thread(self._remove_planless, now_ns)
        going = await asyncio.to_thread(
            lambda: list(doomed(self._store.entries, self._policy, now_ns))
        )
        removed = [entry for entry in going if await self._remove(entry)]
        plans_went = any(entry.kind == "plans" for entry in removed)
        unnamed = await asyncio.to_thread(self._unnamed, now_ns, plans_went=plans_went)
        removed += [entry for entry in unnamed if await self._remove(entry)]
        if removed:
            nbytes = sum(entry.nbytes for entry in removed)
            log.info("the store was swept", files=len(removed), bytes=nbytes)

    async def _remove(self, entry: Entry) -> bool:
        if entry.kind in {"plans", "materialized"} and not self._retire(entry.name):
            return False
        return await asyncio.to_thread(self._store.remove, entry)

    def _remove_planless(self, now_ns: int) -> None:
        """Remove tensors that have waited too long for their plan."""
        planless_ns = now_ns - int(PLANLESS_SECONDS * 1e9)
        for entry in list(self._store.entries("materialized")):
            if entry.used_ns < planless_ns and not self._store.has_plan(entry.name):
                self._store.remove(entry)

    def _unnamed(self, now_ns: int, *, plans_went: bool) -> list[Entry]:
        """Return the blobs that are too old, and the literals, that no plan names any more.

        Literals are looked at after the removal of plans. This reads every plan, but only if there
        are blobs that are too old, or literals last used before every plan.
        """
        oldest_ns, grace_ns = self._policy.oldest_ns(now_ns), self._policy.grace_ns(now_ns)
        blobs = self._store.entries("uploads") if oldest_ns else ()
        unused = [entry for entry in blobs if entry.used_ns < min(oldest_ns, grace_ns)]
        if plans_went:
            plans = (plan.used_ns for plan in self._store.entries("plans"))
            before_ns = self._policy.grace_ns(min(plans, default=now_ns))
            unused += [e for e in self._store.entries("blobs") if e.used_ns < before_ns]
        return self._store.unnamed(unused)
