"""Task of planning workers: a request's raw body in, a plan or its faults out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from seedpoint.models.errors import LimitExceeded, PlatformMismatch, SpecError
from seedpoint.models.files.blobs import NO_BLOBS, Blobs, BlobTensor, ByteArray
from seedpoint.models.plan.inner_sources import blobs_named
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning import compiler, sequential
from seedpoint.models.planning.record_architecture import check_size
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.errors import (
    BlobMissing,
    CorruptStore,
    MalformedBody,
    StoreFull,
    StoreUnreadable,
    StoreUnwritable,
)
from seedpoint.service.planning.allowed_paths import Places
from seedpoint.service.planning.architecture_cache import Recording, Recordings
from seedpoint.service.planning.sandbox import Guard
from seedpoint.service.planning.strict_json import parse_json
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.store import Store
from seedpoint.service.workers.worker import Task


@dataclass(frozen=True, slots=True)
class PlanBody:
    """Order to plan the spec in a request's body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Materialize:
    """Order to make the tensors of a platform-bound plan and put them into the store."""

    record: bytes


Order = PlanBody | Materialize
STORE_FAULTS = (BlobMissing, CorruptStore, StoreFull, StoreUnreadable, StoreUnwritable)
_NONE = Limits(*4 * (sys.maxsize,))  # No limits: an issued plan was within those of its time.


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: its id, its record, and the literals it names by SHA-256 (hex).

    A plan that `is_bound` to a platform needs its tensors made and kept. `blob_files` are the
    SHA-256 of the files that it names, which clients have put before.
    """

    id: str
    plan: bytes
    blobs: Mapping[str, bytes]
    is_bound: bool
    blob_files: frozenset[str] = frozenset()


class TooLargeHere(Exception):
    """A spec that exceeds this worker's own limits, but not those of the service."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Configuration of planning workers: the store they fill, and their limits.

    `limits` are those of the service; `own` are tighter ones, of workers for small specs. `blobs`
    are the files that specs may name.
    """

    store: Store
    max_materialized_bytes: int
    limits: Limits = DEFAULT
    own: Limits | None = None
    recordings: Callable[[], MutableMapping[bytes, Recording]] = dict
    blobs: Blobs = NO_BLOBS

    def task(self) -> Task[Order, Planned]:
        """Return the task that the workers of a pool run."""
        desk = _Desk(self)
        faults = (MalformedBody, SpecError, PlatformMismatch, TooLargeHere)
        return Task(desk.run, desk.warm_up, (*faults, *STORE_FAULTS))


class _Desk:
    """State of one worker: its configuration and the architectures that it has recorded."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def warm_up(self) -> None:
        """Import and run the code that the first request needs, and guard the process."""
        layer = {"type": "Linear", "in_features": 1, "out_features": 1}
        compiler.make_plan(parse_spec({"architecture": {"type": "Sequential", "layers": [layer]}}))
        self.guard = Guard(Places.of_process(tempfile.gettempdir()))
        self.blobs = _Lifted(self.planner.blobs, self.guard)
        self.recordings = Recordings(self.planner.recordings(), self.guard.refusing)
        self.guard.enforce()

    def run(self, order: Order) -> Planned:
        """Return the plan that `order` asks for.

        Raises: MalformedBody, SpecError, PlatformMismatch, TooLargeHere, MemoryError; STORE_FAULTS
        if tensors cannot be stored, or blobs cannot be read.
        """
        try:
            return self._plan(order.body) if isinstance(order, PlanBody) else self._make(order)
        except RecursionError:
            raise SpecError.at("", "nested too deeply to build") from None
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # The message of torch.
                raise MemoryError from None
            raise

    def _plan(self, body: bytes) -> Planned:
        document, allowed = parse_json(body), self.planner.limits
        limits = allowed if self.planner.own is None else allowed.within(self.planner.own)
        try:
            _, planned = self.recordings.plan(
                document, platform=sequential.platform(), limits=limits, blobs=self.blobs
            )
        except LimitExceeded:
            check_size(parse_spec(document).architecture, allowed)
            if limits == allowed:
                raise
            raise TooLargeHere from None
        allowed.check_plan(len(planned.plan.record))
        self._check_size(planned.plan)
        return _planned(planned)

    def _make(self, order: Materialize) -> Planned:
        """Plan the recorded spec again and, if the plan is the same, make and store its tensors.

        Raises: PlatformMismatch if this host or version cannot reproduce the plan.
        """
        recorded = Plan.from_record(order.record)
        sequential.check_platform(recorded)
        document, platform = dict(recorded.spec), sequential.platform()
        self._check_blobs(recorded)
        spec, planned = self.recordings.plan(
            document, platform=platform, limits=_NONE, blobs=self.blobs
        )
        if planned.plan.id != recorded.id:
            raise PlatformMismatch(
                f"checkpoint {recorded.id} was planned by another version of Seedpoint, and its "
                "bits can be reproduced only there"
            )
        with self.guard.refusing(document):
            tensors = sequential.materialize(spec, planned, self.blobs)
        with self.guard.lifted():
            store = CheckpointStore(self.planner.store)
            store.put_materialized(recorded.id, sequential.raw(recorded, tensors))
        return _planned(planned)

    def _check_blobs(self, plan: Plan) -> None:
        """Raise BlobMissing if the plan's tensors cannot be made for lack of a blob."""
        for name in sorted(blobs_named(plan)):
            try:
                self.blobs.tensors(name)
            except ValueError as error:
                raise BlobMissing(str(error)) from None

    def _check_size(self, plan: Plan) -> None:
        """Raise SpecError if tensors that must be kept are too large in total."""
        total = sum(tensor.nbytes for tensor in plan.tensors)
        if plan.platform is not None and total > self.planner.max_materialized_bytes:
            raise SpecError.at(
                "init.generator",
                f"{plan.generator} makes a checkpoint as a whole, at most "
                f"{self.planner.max_materialized_bytes} bytes, and this one has {total}; "
                "philox-v1 has no such limit",
            )


@dataclass(frozen=True, slots=True)
class _Lifted:
    """Blobs, read by our own code in a guarded process."""

    blobs: Blobs
    guard: Guard

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        with self.guard.lifted():
            return self.blobs.tensors(sha256)

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        with self.guard.lifted():
            self.blobs.read(sha256, offset, out)


def _planned(planned: compiler.Planned) -> Planned:
    plan = planned.plan
    is_bound = plan.platform is not None
    return Planned(plan.id, plan.record, planned.blobs, is_bound, blobs_named(plan))


def work_bytes(plan: Plan) -> int:
    """Return the most memory, in bytes, that making a platform-bound plan's tensors takes.

    Every tensor exists as float32, as a script builds it, and converted. In addition, one at a
    time is drawn as float64 by NumPy and copied (16 bytes an element), or factored by QR, which
    takes five copies.
    """
    each = sum(tensor.numel * (4 + tensor.dtype.itemsize) for tensor in plan.tensors)
    return each + 24 * max((tensor.numel for tensor in plan.tensors), default=0)
