"""Eviction: the longest unused objects, once they are too old or take too much room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seedpoint.service.storage.store import Entry, Kind

GRACE_SECONDS = 300.0  # An object that any process used more recently stays.
STEP_NS = 60 * 10**9  # Resolution of the times in a census.

CACHES: tuple[Kind, ...] = ("statistics", "digests")
BEFORE_PLANS: tuple[Kind, ...] = (*CACHES, "materialized", "whole_tensors")


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits on the age and the size of the objects kept; None means no limit.

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
        self.total: Counter[Kind] = Counter()
        self._idle: Counter[tuple[Kind, int]] = Counter()
        for entry in entries:
            self.total[entry.kind] += entry.nbytes
            if entry.used_ns < grace_ns:
                self._idle[entry.kind, entry.used_ns // STEP_NS] += entry.nbytes

    def of(self, *kinds: Kind) -> int:
        """Return the bytes of these kinds."""
        return sum(self.total[kind] for kind in kinds)

    def idle(self, *kinds: Kind) -> int:
        """Return the bytes of these kinds that can be removed."""
        return sum(nbytes for (kind, _), nbytes in self._idle.items() if kind in kinds)

    def until_ns(self, excess_bytes: int, *kinds: Kind) -> int:
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
    """Yield the objects to remove: those that can be made again, then plans.

    These are the objects that are too old and, if there are too many bytes, the longest unused.
    `entries` lists them all and is called twice, so that only candidates are held in memory.
    Literals are not included (see `retention`), nor names, which go with their plans.
    """
    oldest_ns, grace_ns = policy.oldest_ns(now_ns), policy.grace_ns(now_ns)
    census = Census(entries(), grace_ns)
    excess = 0 if policy.max_bytes is None else census.total.total() - policy.max_bytes
    cached_excess = census.of(*CACHES) - policy.max_cache_bytes
    made_ns = max(oldest_ns, census.until_ns(excess, *BEFORE_PLANS))
    cached_ns = max(made_ns, census.until_ns(cached_excess, *CACHES))
    plans_ns = max(oldest_ns, census.until_ns(excess - census.idle(*BEFORE_PLANS), "plans"))
    until_ns = {"plans": plans_ns, **dict.fromkeys(BEFORE_PLANS, made_ns)}
    until_ns |= dict.fromkeys(CACHES, cached_ns)
    may_go = [e for e in entries() if e.used_ns < min(until_ns.get(e.kind, 0), grace_ns)]
    for entry in sorted(may_go, key=lambda e: (e.kind == "plans", e.used_ns)):
        is_cached_too_much = entry.kind in CACHES and cached_excess > 0
        if entry.used_ns < oldest_ns or excess > 0 or is_cached_too_much:
            excess -= entry.nbytes
            cached_excess -= entry.nbytes if entry.kind in CACHES else 0
            yield entry
