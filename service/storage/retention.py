"""Retention: removal of the longest unused files once they are too old or the store too large."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seedpoint.service.logger import get_logger
from seedpoint.service.storage.clock import Clock, Steps, system
from seedpoint.service.storage.directory import Entry, Store
from seedpoint.service.storage.use_notes import ROUND_SECONDS

log = get_logger("seedpoint.retention")

SWEEP_SECONDS = 60.0  # Shortest pause between sweeps.
IDLE_SHARE = 20  # A pause lasts at least this many times as long as the sweep before it.
GRACE_SECONDS = 300.0  # A file that any process used more recently stays.
LEFT_SECONDS = 300.0  # An older temporary file is abandoned, unless it is locked.
QUIET_SECONDS = 2 * ROUND_SECONDS  # Time in which every process notes its uses.
PLANLESS_SECONDS = 3600.0  # Time that tensors wait for their plan, which is stored after them.
STEP_NS = 60 * 10**9  # Resolution of the times in a census.

CACHES = ("statistics", "digests")
BEFORE_PLANS = (*CACHES, "materialized")


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits on the age and the size of the files kept; None means no limit.

    Statistics and digests, which can be computed again, are also limited by `max_cache_bytes`.
    """

    max_age_seconds: float | None
    max_bytes: int | None
    max_cache_bytes: int
    grace_seconds: float = GRACE_SECONDS

    def oldest_ns(self, now_ns: int) -> int:
        """Return the time before which a file's last use is too old."""
        return 0 if self.max_age_seconds is None else now_ns - int(self.max_age_seconds * 1e9)

    def grace_ns(self, now_ns: int) -> int:
        """Return the time from which on a used file stays."""
        return now_ns - int(self.grace_seconds * 1e9)


class Census:
    """Bytes of each kind of file, and the times of their last use.

    It takes a few numbers, however many files there are. Files used since `grace_ns` count, but
    cannot be removed.
    """

    def __init__(self, entries: Iterable[Entry], grace_ns: int) -> None:
        self.total: Counter[str] = Counter()
        self._idle: Counter[tuple[str, int]] = Counter()
        for entry in entries:
            self.total[entry.kind] += entry.nbytes
            if entry.used_ns < grace_ns:
                self._idle[entry.kind, entry.used_ns // STEP_NS] += entry.nbytes

    def of(self, *kinds: str) -> int:
        """Return the bytes of these kinds."""
        return sum(self.total[kind] for kind in kinds)

    def idle(self, *kinds: str) -> int:
        """Return the bytes of these kinds that can be removed."""
        return sum(nbytes for (kind, _), nbytes in self._idle.items() if kind in kinds)

    def until_ns(self, excess_bytes: int, *kinds: str) -> int:
        """Return a time; files of these kinds unused since have `excess_bytes`, or are all."""
        by_step: Counter[int] = Counter()
        for (kind, step), nbytes in self._idle.items():
            by_step[step] += nbytes if kind in kinds else 0
        until = 0
        for step in sorted(by_step):
            if excess_bytes <= 0:
                break
            excess_bytes -= by_step[step]
            until = step + 1
        return until * STEP_NS


def doomed(entries: Callable[[], Iterable[Entry]], policy: Policy, now_ns: int) -> Iterator[Entry]:
    """Yield the files to remove: statistics, digests and materialized tensors, then plans.

    These are the files that are too old and, if the store is too large, the longest unused.
    `entries` lists the store and is called twice, so that only candidates are held in memory.
    Literals are not included: see `Retention`.
    """
    oldest_ns, grace_ns = policy.oldest_ns(now_ns), policy.grace_ns(now_ns)
    census = Census(entries(), grace_ns)
    excess = 0 if policy.max_bytes is None else census.total.total() - policy.max_bytes
    cached_excess = census.of(*CACHES) - policy.max_cache_bytes
    made_ns = max(oldest_ns, census.until_ns(excess, *BEFORE_PLANS))
    cached_ns = max(made_ns, census.until_ns(cached_excess, *CACHES))
    plans_ns = max(oldest_ns, census.until_ns(excess - census.idle(*BEFORE_PLANS), "plans"))
    until_ns = {"plans": plans_ns, "materialized": made_ns, **dict.fromkeys(CACHES, cached_ns)}
    may_go = [e for e in entries() if e.used_ns < min(until_ns.get(e.kind, 0), grace_ns)]
    for entry in sorted(may_go, key=lambda e: (e.kind == "plans", e.used_ns)):
        is_cached_too_much = entry.kind in CACHES and cached_excess > 0
        if entry.used_ns < oldest_ns or excess > 0 or is_cached_too_much:
            excess -= entry.nbytes
            cached_excess -= entry.nbytes if entry.kind in CACHES else 0
            yield entry


class Retention:
    """Enforcement of a policy on the store. Belongs to one event loop.

    `retire(id)` is called before a plan or its tensors are removed; it returns whether no client
    is being served from them. Literals are removed once no plan names them.

    Files age by the wall clock, which may be wrong. After a start, and after a step of the wall
    clock against the monotonic clock, no finished file is removed for `QUIET_SECONDS`.
    """

    def __init__(
        self,
        store: Store,
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
            await asyncio.to_thread(self._store.remove_left, left_ns)
        if now.monotonic_ns >= self._quiet_until_ns:
            await self._sweep(now.wall_ns)

    async def _sweep(self, now_ns: int) -> None:
        await asyncio.to_thread(self._remove_planless, now_ns)
        going = await asyncio.to_thread(
            lambda: list(doomed(self._store.entries, self._policy, now_ns))
        )
        removed = [entry for entry in going if await self._remove(entry)]
        if any(entry.kind == "plans" for entry in removed):
            blobs = await asyncio.to_thread(self._unnamed, now_ns)
            removed += [entry for entry in blobs if await self._remove(entry)]
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

    def _unnamed(self, now_ns: int) -> list[Entry]:
        """Return the literals that no plan names any more.

        This reads every plan, but only if there are literals last used before every plan.
        """
        plans = (plan.used_ns for plan in self._store.entries("plans"))
        before_ns = self._policy.grace_ns(min(plans, default=now_ns))
        unused = {e.name: e for e in self._store.entries("blobs") if e.used_ns < before_ns}
        if unused:
            for plan in self._store.entries("plans"):
                for name in self._store.blobs_of(plan.name):
                    unused.pop(name, None)
        return list(unused.values())
