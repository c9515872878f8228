"""What the store may forget: what is longest unused, once it is too old or there is too much."""

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

SWEEP_SECONDS = 60.0
IDLE_SHARE = 20  # Sweeping takes at most one part in so many of the time.
GRACE_SECONDS = 300.0  # Nothing goes that was used so recently, by whichever process.
LEFT_SECONDS = 300.0  # What is older was not finished, unless somebody has it locked.
QUIET_SECONDS = 2 * ROUND_SECONDS  # By then every process has noted what it uses.
PLANLESS_SECONDS = 3600.0  # So long tensors wait for the plan that is stored after them.
STEP_NS = 60 * 10**9  # How finely a census tells times apart.

CACHES = ("statistics", "digests")
BEFORE_PLANS = (*CACHES, "materialized")


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how much is kept; None is for ever and everything.

    Statistics and digests are bounded by `max_cache_bytes` besides: they can be computed
    again.
    """

    max_age_seconds: float | None
    max_bytes: int | None
    max_cache_bytes: int
    grace_seconds: float = GRACE_SECONDS

    def oldest_ns(self, now_ns: int) -> int:
        """What was used before this time is too old."""
        return 0 if self.max_age_seconds is None else now_ns - int(self.max_age_seconds * 1e9)

    def grace_ns(self, now_ns: int) -> int:
        """What was used since this time stays."""
        return now_ns - int(self.grace_seconds * 1e9)


class Census:
    """How many bytes there are of each kind, and when they were last used.

    A few numbers, however many files. What was used since `grace_ns` counts, but cannot go.
    """

    def __init__(self, entries: Iterable[Entry], grace_ns: int) -> None:
        self.total: Counter[str] = Counter()
        self._idle: Counter[tuple[str, int]] = Counter()
        for entry in entries:
            self.total[entry.kind] += entry.nbytes
            if entry.used_ns < grace_ns:
                self._idle[entry.kind, entry.used_ns // STEP_NS] += entry.nbytes

    def of(self, *kinds: str) -> int:
        """Bytes of these kinds."""
        return sum(self.total[kind] for kind in kinds)

    def idle(self, *kinds: str) -> int:
        """Bytes of these kinds that can go."""
        return sum(nbytes for (kind, _), nbytes in self._idle.items() if kind in kinds)

    def until_ns(self, excess_bytes: int, *kinds: str) -> int:
        """A time before which files of these kinds were used that have `excess_bytes`, or all."""
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
    """What goes, in this order: statistics, digests and materialized tensors, and then plans.

    Of each, what is too old, and of what is too much the longest unused. `entries` lists the
    store, and is called twice, so that only what may go is held in memory. Literals are not
    among it: see `Retention`.
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
    """Keeps the store within a policy. Belongs to one event loop.

    `retire` is asked before a plan or its tensors go, by its id: whether nobody is being
    served it. Literals go once no plan names them.

    Files age by the wall clock, which may be wrong. After a start, and after a step of it
    against the monotonic clock, nothing goes for `QUIET_SECONDS`.
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
        """Sweeps now and again, until it is cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self.sweep()
            except OSError as error:  # Short of descriptors, or not to be written.
                log.warning("the store could not be swept", reason=str(error))
            except Exception:
                log.exception("the store could not be swept")
            spent = time.monotonic() - started
            await asyncio.sleep(max(SWEEP_SECONDS, IDLE_SHARE * spent))

    async def sweep(self) -> None:
        """Removes what was never finished, and in time what the policy does not keep."""
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
        """Removes tensors whose plan nobody will store any more."""
        planless_ns = now_ns - int(PLANLESS_SECONDS * 1e9)
        for entry in list(self._store.entries("materialized")):
            if entry.used_ns < planless_ns and not self._store.has_plan(entry.name):
                self._store.remove(entry)

    def _unnamed(self, now_ns: int) -> list[Entry]:
        """The literals that no plan names any more.

        Every plan is read for it, but only when there are literals used before any plan was.
        """
        plans = (plan.used_ns for plan in self._store.entries("plans"))
        before_ns = self._policy.grace_ns(min(plans, default=now_ns))
        unused = {e.name: e for e in self._store.entries("blobs") if e.used_ns < before_ns}
        if unused:
            for plan in self._store.entries("plans"):
                for name in self._store.blobs_of(plan.name):
                    unused.pop(name, None)
        return list(unused.values())
