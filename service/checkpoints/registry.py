"""Registry of issued checkpoints: from a request's body to a plan, from an id to its bytes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from weakref import WeakValueDictionary

from cachetools import LRUCache
from pydantic_core import to_json

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import ByteArray, Evaluator, Observer, ReadBytes
from seedpoint.models.generation.sources import draws_on
from seedpoint.models.generation.whole_tensors import Wholes
from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import (
    Copy,
    Literal,
    Norms,
    Program,
    SingularVector,
    Split,
    Sum,
)
from seedpoint.models.planning.sequential import readers
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.checkpoints.materialized import BoundTensors
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.cache import LatestCache
from seedpoint.service.concurrency.cached_property import locked_cached_property
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.errors import NotFound
from seedpoint.service.metrics import Metrics
from seedpoint.service.planning.planner_pools import Builders
from seedpoint.service.planning.task import Planned
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.use_notes import Uses

KNOWN_BODIES = 10_000  # Request bodies whose checkpoint id is remembered.
LARGE_TENSORS = 5_000  # A resource of more tensors takes noticeable time to render.
LARGE_AT_ONCE = 2  # Large resources rendered at once.


class Checkpoints:
    """Registry that has specs planned, stores the plans and caches the latest checkpoints.

    Belongs to one event loop.
    """

    def __init__(
        self,
        builders: Builders,
        store: CheckpointStore,
        metrics: Metrics,
        wholes: Wholes,
        *,
        device: str,
        cached_tensors: int,
        clock: Clock = system,
    ) -> None:
        self._builders = builders
        self._store = store
        self._metrics = metrics
        self._wholes = wholes
        self.device = device
        self._draws = draws_on(device)
        self._loaded: LatestCache[str, Checkpoint] = LatestCache(cached_tensors, _weight)
        # A response holds the evaluator of the checkpoint that it serves, until it ends.
        self._served: WeakValueDictionary[str, Evaluator] = WeakValueDictionary()
        self.uses = Uses(store, clock=clock)
        self._known: LRUCache[bytes, str] = LRUCache(KNOWN_BODIES)  # SHA-256 of a body -> id
        self._planning: SingleFlight[bytes, tuple[Checkpoint, bool]] = SingleFlight()
        self._loading: SingleFlight[str, Checkpoint] = SingleFlight()
        self._bound = BoundTensors(builders, store)
        self._rendering = Admission(LARGE_AT_ONCE)

    async def issue(self, body: bytes) -> tuple[Checkpoint, bool]:
        """Return the checkpoint of the spec in `body`, and whether it is new.

        Raises: the errors of planning (`planning.task`) and of the pools.
        """
        digest = hashlib.sha256(body).digest()
        # The plan may have left the store since: an issued checkpoint must be stored.
        id_ = self._known.get(digest)
        if id_ is not None and await asyncio.to_thread(self._store.has_intact_plan, id_):
            with suppress(NotFound):
                return await self.get(id_), False
        return await self._planning.join(digest, lambda: self._plan(body, digest))

    async def get(self, id_: str) -> Checkpoint:
        """Return the checkpoint `id_`, loaded from the store if it is not in memory.

        Raises: NotFound, CorruptStore, and the errors of generating its tensors again.
        """
        if (checkpoint := self._loaded.get(id_)) is not None:
            if await self.uses.note(id_):
                return checkpoint
            self._loaded.pop(id_, None)
        return await self._loading.join(id_, lambda: self._load(id_))

    async def resource(self, checkpoint: Checkpoint) -> bytes:
        """Return the checkpoint resource without statistics as JSON, rendered in a thread.

        A large resource takes a second and 100 MB, so at most LARGE_AT_ONCE are rendered at once.
        """
        if locked_cached_property.is_cached(checkpoint, "resource"):
            return checkpoint.resource
        if len(checkpoint.plan.tensors) <= LARGE_TENSORS:
            return await asyncio.to_thread(lambda: checkpoint.resource)
        async with self._rendering.slot():
            return await asyncio.to_thread(lambda: checkpoint.resource)

    def retire(self, id_: str) -> bool:
        """Drop a checkpoint from memory; return whether the store may remove it.

        A checkpoint that is served, loaded or generated at the moment must stay.
        """
        self._loaded.pop(id_, None)
        return not (id_ in self._served or id_ in self._loading or id_ in self._bound)

    async def _plan(self, body: bytes, digest: bytes) -> tuple[Checkpoint, bool]:
        started = time.perf_counter()
        try:
            planned = await self._builders.plan(body)
            checkpoint = await self._register(planned)
        except Exception as error:
            self._metrics.plans.labels(type(error).__name__).inc()
            raise
        self._metrics.plan_seconds.observe(time.perf_counter() - started)
        self._metrics.plans.labels("new" if checkpoint else "known").inc()
        self._known[digest] = planned.id
        if checkpoint is None:
            return await self.get(planned.id), False
        return self._keep(checkpoint), True

    async def _register(self, planned: Planned) -> Checkpoint | None:
        """Store a plan with everything it needs; return its checkpoint, or None if not new."""
        if planned.is_bound:
            await self._bound.ensure(await asyncio.to_thread(Plan.from_record, planned.plan))
        return await asyncio.to_thread(self._put, planned)

    def _put(self, planned: Planned) -> Checkpoint | None:
        if not self._store.put_plan(planned.id, planned.plan, planned.blobs):
            return None
        plan = Plan.from_record(planned.plan)
        if plan.about:
            self._store.put_about(plan.id, to_json(plan.about))
        return self._open(plan, planned.blobs.__getitem__)

    async def _load(self, id_: str) -> Checkpoint:
        plan = await asyncio.to_thread(self._recorded, id_)
        if plan.platform is not None:
            await self._bound.ensure(plan)
        return self._keep(await asyncio.to_thread(self._open, plan, self._store.blob))

    def _recorded(self, id_: str) -> Plan:
        self._store.use(id_)  # First, so that retention does not remove the plan from here on.
        return Plan.from_record(self._store.plan(id_))

    def _keep(self, checkpoint: Checkpoint) -> Checkpoint:
        self._loaded[checkpoint.id] = checkpoint
        self._served[checkpoint.id] = checkpoint.evaluator
        self.uses.add(checkpoint.id)
        return checkpoint

    def _open(self, plan: Plan, blob: Callable[[str], bytes]) -> Checkpoint:
        """Return the checkpoint of `plan`; `blob` returns a literal's bytes by SHA-256."""
        literals = {digest for tensor in plan.tensors for digest in _literals(tensor.program)}
        blobs = {digest: blob(digest) for digest in literals}
        evaluator = _Counted(
            *(plan, blobs, self._materialized(plan)),
            draws=self._draws,
            wholes=self._wholes,
        )
        evaluator.count = partial(self._count, plan.id)
        checkpoint = Checkpoint(plan.id, plan, layout(plan), evaluator)
        _ = checkpoint.indices  # Computed here, outside the event loop.
        return checkpoint

    def _count(self, id_: str, elements: int) -> None:
        self._metrics.elements.inc(elements)
        self.uses.mark(id_)

    def _materialized(self, plan: Plan) -> dict[str, ReadBytes]:
        """Return the readers of a platform-bound plan's tensors in the store."""
        return {} if plan.platform is None else readers(plan, self._bound.reader(plan))


class _Counted(Evaluator):
    """Evaluator that reports the number of elements it generates to `count`."""

    count: Callable[[int], None]

    def fill(
        self,
        tensor: int,
        start: int,
        stop: int,
        out: ByteArray,
        observer: Observer | None = None,
    ) -> None:
        super().fill(tensor, start, stop, out, observer)
        self.count(stop - start)


def _literals(program: Program) -> Iterator[str]:
    """Yield the SHA-256 of every blob that `program` reads."""
    source = program.source
    if isinstance(source, Literal):
        yield source.sha256
    if isinstance(source, Split):
        for part in source.parts:
            yield from _literals(part.program)
        if source.base is not None:
            yield from _literals(source.base)
    for term in source.terms if isinstance(source, Sum) else ():
        yield from _literals(term)
    if isinstance(source, Norms | SingularVector | Copy):
        yield from _literals(source.of)
    if isinstance(source, SingularVector):
        yield from _literals(source.start)


def _weight(checkpoint: Checkpoint) -> int:
    """Estimate a checkpoint's memory in kilobytes: one per tensor, plus the blobs."""
    blobs = sum(map(len, checkpoint.evaluator.sources.blobs.values()))
    return 1 + len(checkpoint.plan.tensors) + blobs // 1000
