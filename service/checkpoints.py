"""Issued checkpoints: from a request's body to a plan, from an id to what serves its bytes."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from pydantic_core import to_json

from models.describe import layout, resource
from models.generate import ByteArray, Evaluator, Observer
from models.layout import File, Layout
from models.materialize import check_platform, views
from models.plan import Plan
from models.program import Literal, Program, Split
from service.engine import Read
from service.errors import NotFound
from service.flights import Flights
from service.lru import LRU
from service.metrics import Metrics
from service.planning import Planned
from service.pool import Pool
from service.store import CorruptStore, Store

KNOWN_BODIES = 10_000


@dataclass(frozen=True)
class Checkpoint:
    """An issued checkpoint, ready to be read."""

    id: str
    plan: Plan
    layout: Layout
    evaluator: Evaluator

    def file(self, name: str) -> File:
        """Raises NotFound."""
        if (file := self.layout.files.get(name)) is None:
            raise NotFound(f"no file {name!r}; there is {', '.join(self.layout.files)}")
        return file

    def reader(self, file: File) -> Read:
        """Reads any byte range of `file`."""
        return partial(self.evaluator.read, file)

    def tensor(self, name: str) -> int:
        """The index of the tensor that has this name. Raises NotFound."""
        if (index := self._indices.get(name)) is None:
            near = ", ".join(map(repr, difflib.get_close_matches(name, self._indices, 3)))
            raise NotFound(f"no tensor {name!r}" + (f"; there is {near}" if near else ""))
        return index

    def etag(self, what: str) -> str:
        """The strong entity tag, with its quotes, of a representation of this checkpoint.

        The id fixes every byte, so the tag is known before one is computed. It is opaque:
        40 hexadecimal digits, because clients take 64 for a SHA-256 of the content.
        """
        return f'"{hashlib.sha256(f"{self.id}/{what}".encode()).hexdigest()[:40]}"'

    @cached_property
    def resource(self) -> bytes:
        """The checkpoint resource without statistics, JSON."""
        return to_json(resource(self.plan, self.layout))

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {
            name: index
            for index, tensor in enumerate(self.plan.tensors)
            for name in (tensor.name, *tensor.aliases)
        }


class Checkpoints:
    """Plans specs in the pool, keeps the plans in the store and the latest ones in memory.

    Belongs to one event loop.
    """

    def __init__(
        self,
        pool: Pool[Planned],
        store: Store,
        metrics: Metrics,
        *,
        device: str,
        cached_tensors: int,
    ) -> None:
        self._pool = pool
        self._store = store
        self._metrics = metrics
        self.device = device
        self._loaded: LRU[str, Checkpoint] = LRU(cached_tensors, _weight)
        self._known: LRU[bytes, str] = LRU(KNOWN_BODIES)  # SHA-256 of a body -> id
        self._planning: Flights[bytes, tuple[Checkpoint, bool]] = Flights()
        self._loading: Flights[str, Checkpoint] = Flights()

    async def issue(self, body: bytes) -> tuple[Checkpoint, bool]:
        """The checkpoint of the spec in `body`, and whether it is new.

        Raises what planning raises (`planning.plan`) and what the pool raises.
        """
        digest = hashlib.sha256(body).digest()
        if (id_ := self._known.get(digest)) and self._store.has_plan(id_):
            return await self.get(id_), False
        return await self._planning.join(digest, lambda: self._plan(body, digest))

    async def get(self, id_: str) -> Checkpoint:
        """Raises NotFound, and CorruptStore."""
        if (checkpoint := self._loaded.get(id_)) is not None:
            return checkpoint
        return await self._loading.join(id_, lambda: self._load(id_))

    async def _plan(self, body: bytes, digest: bytes) -> tuple[Checkpoint, bool]:
        started = time.perf_counter()
        try:
            planned = await self._pool.call(body)
        except Exception as error:
            self._metrics.plans.labels(type(error).__name__).inc()
            raise
        is_new = await asyncio.to_thread(
            self._store.put_plan, planned.id, planned.plan, planned.blobs
        )
        self._metrics.plan_seconds.observe(time.perf_counter() - started)
        self._metrics.plans.labels("new" if is_new else "known").inc()
        self._known.put(digest, planned.id)
        return await self.get(planned.id), is_new

    async def _load(self, id_: str) -> Checkpoint:
        checkpoint = await asyncio.to_thread(self._read, id_)
        self._loaded.put(id_, checkpoint)
        return checkpoint

    def _read(self, id_: str) -> Checkpoint:
        plan = Plan.from_record(self._store.plan(id_))
        evaluator = _Counted(plan, self._blobs(plan), self._materialized(plan), device=self.device)
        evaluator.count = self._metrics.elements.inc
        return Checkpoint(id_, plan, layout(plan), evaluator)

    def _blobs(self, plan: Plan) -> dict[str, bytes]:
        digests = {digest for tensor in plan.tensors for digest in _literals(tensor.program)}
        return {digest: self._store.blob(digest) for digest in digests}

    def _materialized(self, plan: Plan) -> dict[str, memoryview]:
        """The tensors of a platform-bound plan, mapped from the store.

        They are kept as they were drawn, so any host may serve them; a host where they are
        not can make them only if its bits are the plan's. Raises PlatformMismatch.
        """
        if plan.platform is None:
            return {}
        if (data := self._store.materialized(plan.id)) is None:
            check_platform(plan)
            raise CorruptStore(f"the tensors of checkpoint {plan.id} are gone")
        if len(data) != sum(tensor.nbytes for tensor in plan.tensors):
            raise CorruptStore(f"the tensors of checkpoint {plan.id} have {len(data)} bytes")
        return views(plan, data)


class _Counted(Evaluator):
    """An evaluator that tells of every element it generates."""

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
    """The SHA-256 of every blob that evaluating `program` takes."""
    source = program.source
    if isinstance(source, Literal):
        yield source.sha256
    for part in source.parts if isinstance(source, Split) else ():
        yield from _literals(part.program)


def _weight(checkpoint: Checkpoint) -> int:
    """About its kilobytes in memory: of a tensor, its plan and description; of a blob, itself."""
    blobs = sum(map(len, checkpoint.evaluator.sources.blobs.values()))
    return 1 + len(checkpoint.plan.tensors) + blobs // 1000
