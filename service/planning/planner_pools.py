"""Pools of planning workers: small specs have their own, so that large ones never delay them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from functools import partial
from operator import attrgetter

from cachetools import LRUCache

from seedpoint.models.plan.plan import Plan
from seedpoint.models.spec.limits import Limits
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.cache import LatestCache
from seedpoint.service.errors import BuildTimeout, Busy
from seedpoint.service.metrics import Metrics
from seedpoint.service.planning.refusals import planning_refusals
from seedpoint.service.planning.task import (
    Materialize,
    Order,
    PlanBody,
    Planned,
    Planner,
    TooLargeHere,
    work_bytes,
)
from seedpoint.service.settings import Settings
from seedpoint.service.storage.blob_files import BlobFiles
from seedpoint.service.storage.store import Store
from seedpoint.service.workers.errors import NoWorker
from seedpoint.service.workers.pool import Pool
from seedpoint.service.workers.worker import CallLimits, Task

# Limits of small specs, which take milliseconds, and about a second at most, on one core.
SMALL = Limits(modules=2_000, tensors=4_000, matches=400_000)
SMALL_BODY_BYTES = 256 << 10
SMALL_WORK_BYTES = 256 << 20
SMALL_SECONDS = 5.0
# Types that other libraries build, so that their cost is unknown beforehand. The backslash covers
# specs that spell one of these words with escapes.
UNCOUNTABLE = (b'"transformers"', b'"timm"', b'"torchvision"', b'"preset"', b"\\")
REMEMBERED = 1_000  # Architectures known to be large.
SHORT_QUEUE = 8  # Limit of the queue of models of unknown cost while one has proved slow.
SHORT_SECONDS = 60.0  # Time for which that limit lasts.
NO_WORKER = "no worker was free within {seconds:g} seconds"


class PlannerPool:
    """Pool of `size` planning workers and the queue for them.

    Up to `waiting` calls wait for a worker, for `wait_seconds` at most, and are then limited by
    `limits`.
    """

    def __init__(
        self,
        task: Task[Order, Planned],
        *,
        size: int,
        waiting: int,
        wait_seconds: float,
        limits: CallLimits,
    ) -> None:
        self.workers = Pool(task, size=size, limits=limits)
        self._limits = limits
        self._wait_seconds = wait_seconds
        queued = min(size, waiting)  # Handed to the workers early: none waits for the event loop.
        self._admission = Admission(
            size + queued,
            waiting=waiting - queued,
            wait_seconds=wait_seconds,
            full="{admitted} specs are already being planned or waiting",
            late=NO_WORKER,
        )

    def admitted(self) -> int:
        """Return the number of calls that run or wait."""
        return len(self._admission)

    async def call(self, order: Order, *, more_bytes: int = 0) -> Planned:
        """Return the plan; the call may take `more_bytes` of memory than others.

        Raises: the task's errors, Busy, BuildTimeout, BuildMemory, WorkerLost, ShuttingDown.
        """
        memory_bytes = self._limits.memory_bytes + more_bytes
        limits = replace(self._limits, memory_bytes=memory_bytes)
        time = asyncio.get_running_loop().time
        deadline = time() + self._wait_seconds
        async with self._admission.slot():
            try:
                with planning_refusals():  # A worker may still be starting.
                    left = deadline - time()
                    return await self.workers.call(order, limits, wait_seconds=left)
            except NoWorker:
                raise Busy(NO_WORKER.format(seconds=self._wait_seconds)) from None


class Builders:
    """Pool for small specs, and pool for the rest.

    A spec goes to the small pool unless its body is large, and on to the large pool if it proves
    large or slow. Models of unknown cost may occupy all small workers but one, which is left for
    other specs (a single worker takes them too); once they have proved large or slow, they go
    directly to the large pool.
    """

    def __init__(self, small: PlannerPool, large: PlannerPool, uncountable: Admission) -> None:
        self.small = small
        self.large = large
        self._uncountable = uncountable
        self._known_large: LRUCache[bytes, bool] = LRUCache(REMEMBERED)

    @classmethod
    def of(cls, settings: Settings, store: Store) -> Builders:
        seconds, memory_bytes = settings.build_timeout_seconds, settings.build_memory_bytes
        small = PlannerPool(
            _planner(settings, store, SMALL).task(),
            size=settings.build_workers,
            waiting=settings.build_queue,
            wait_seconds=seconds,
            limits=CallLimits(min(SMALL_SECONDS, seconds), memory_bytes),
        )
        large = PlannerPool(
            _planner(settings, store).task(),
            size=settings.large_build_workers,
            waiting=settings.large_build_queue,
            wait_seconds=seconds,
            limits=CallLimits(seconds, memory_bytes),
        )
        uncountable = Admission(
            max(1, settings.build_workers - 1),
            waiting=settings.build_queue,
            wait_seconds=seconds,
            full="{waiting} specs of this kind are already waiting",
            late=NO_WORKER,
        )
        return cls(small, large, uncountable)

    def measure(self, metrics: Metrics) -> None:
        """Add gauges of the pools to `metrics`."""
        for name, pool in (("small", self.small), ("large", self.large)):
            metrics.workers.labels(name).set_function(pool.workers.warm_count)
            metrics.specs_waiting.labels(name).set_function(pool.admitted)

    def start(self) -> None:
        """Start the workers, which warm up in the background."""
        self.small.workers.start()
        self.large.workers.start()

    def close(self) -> None:
        """End the workers."""
        self.small.workers.close()
        self.large.workers.close()

    @property
    def warm(self) -> bool:
        """True when every worker is up and warm."""
        return self.small.workers.warm and self.large.workers.warm

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return self.small.workers.pids + self.large.workers.pids

    async def plan(self, body: bytes) -> Planned:
        """Return the plan of the spec in `body`. Raises the errors of workers and pools."""
        planned = None
        if len(body) <= SMALL_BODY_BYTES:
            if not any(word in body for word in UNCOUNTABLE):
                planned = await self._plan_small(body)
            elif not self._is_known_large(body):
                async with self._uncountable.slot():
                    if not self._is_known_large(body):  # It may be known by now.
                        planned = await self._plan_small(body)
        return planned or await self.large.call(PlanBody(body))

    async def _plan_small(self, body: bytes) -> Planned | None:
        """Return the plan, or None if the spec proves large or slow."""
        try:
            return await self.small.call(PlanBody(body))
        except TooLargeHere:
            self._known_large[_architecture(body)] = True
        except BuildTimeout:
            self._known_large[_architecture(body)] = True
            refusal = "slow specs are already being planned"
            self._uncountable.cut(SHORT_QUEUE, seconds=SHORT_SECONDS, refusal=refusal)
        return None

    def _is_known_large(self, body: bytes) -> bool:
        return bool(self._known_large) and self._known_large.get(_architecture(body)) is not None

    async def materialize(self, plan: Plan) -> None:
        """Have the tensors of a platform-bound plan made and put into the store.

        Raises: PlatformMismatch if this host cannot make them; the errors of workers and pools.
        """
        order, work = Materialize(plan.record), work_bytes(plan)
        if work <= SMALL_WORK_BYTES and len(plan.tensors) <= SMALL.tensors:
            try:
                await self.small.call(order, more_bytes=work)
            except BuildTimeout:
                pass
            else:
                return
        await self.large.call(order, more_bytes=work)


def _architecture(body: bytes) -> bytes:
    """Return a digest of the architecture in `body`, which no other part of the spec affects."""
    try:
        architecture = json.loads(body)["architecture"]
        content = json.dumps(architecture, sort_keys=True).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        content = body
    return hashlib.sha256(content).digest()


def _planner(settings: Settings, store: Store, own: Limits | None = None) -> Planner:
    return Planner(
        store=store,
        max_materialized_bytes=settings.max_materialized_bytes,
        limits=Limits(
            modules=settings.max_modules,
            tensors=settings.max_tensors,
            plan_bytes=settings.max_plan_bytes,
        ),
        own=own,
        blobs=BlobFiles(store),
        recordings=partial(LatestCache, settings.recorded_tensors, attrgetter("weight")),
    )
