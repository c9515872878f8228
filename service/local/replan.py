"""A plan's spec planned again, by today's libraries, in a process of its own.

A stranger wrote that spec: whatever building it does, takes or breaks is the process's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from seedpoint.models.errors import LimitExceeded, PlatformMismatch, SpecError
from seedpoint.models.generation.evaluator import ReadBytes
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.sequential import readers
from seedpoint.service.errors import BuildMemory, Refusal
from seedpoint.service.planning import task as planning
from seedpoint.service.storage.directory import Store
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.worker import Budget, Worker, WorkerFailed

PLAN = Budget(seconds=60.0, memory_bytes=2 << 30)
MATERIALIZED_BYTES_PER_SECOND = 20e6
SHOWN = 400  # Characters of what a spec is refused for.


@dataclass(frozen=True, slots=True)
class Replanned:
    """What today's libraries make of a plan's spec.

    Without a `plan`, `refusal` says what is wrong with the spec. `failure` says why there is
    none, or why the `materialized` tensors of a platform-bound plan are missing; they are
    there for the same plan only.
    """

    plan: Plan | None = None
    refusal: str | None = None
    failure: str | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    materialized: Mapping[str, ReadBytes] = field(default_factory=dict)


@contextmanager
def replanning(plan: Plan) -> Iterator[Future[Replanned]]:
    """What becomes of planning `plan.spec` again, which goes on meanwhile.

    The result may be used inside the block only, at whose end the process ends.
    """
    with tempfile.TemporaryDirectory(prefix="seedpoint-") as folder:
        planner = planning.Planner(Path(folder), max_materialized_bytes=sys.maxsize)
        worker = Worker(forkserver.context(), planner.task())
        with ThreadPoolExecutor(1) as executor:
            try:
                yield executor.submit(_replan, worker, plan, Store(Path(folder)))
            finally:
                worker.kill()
        worker.close()


def _replan(
    worker: Worker[planning.Order, planning.Planned], plan: Plan, store: Store
) -> Replanned:
    try:
        worker.wait_until_warm()
        planned = worker.call(planning.PlanBody(json.dumps(plan.spec).encode()), PLAN)
    except SpecError as error:
        limited = isinstance(error, LimitExceeded)
        return Replanned(failure=_faults(error)) if limited else Replanned(refusal=_faults(error))
    except (Refusal, WorkerFailed) as error:
        return Replanned(failure=_last_line(error))
    found = Plan.from_record(planned.plan)
    if plan.platform is None or planned.id != plan.id:
        return Replanned(found, blobs=planned.blobs)
    try:
        read = _materialize(worker, plan, planned.plan, store)
    except (PlatformMismatch, SpecError, Refusal, WorkerFailed) as error:
        return Replanned(found, failure=_last_line(error))
    return Replanned(found, blobs=planned.blobs, materialized=readers(plan, read))


def _materialize(
    worker: Worker[planning.Order, planning.Planned], plan: Plan, record: bytes, store: Store
) -> ReadBytes:
    """What reads a platform-bound plan's tensors, made in one piece by the worker."""
    work = planning.work_bytes(plan)
    if work > _memory_bytes() // 2:
        raise BuildMemory(f"it takes {work:,} bytes of memory to make")
    seconds = PLAN.seconds + work / MATERIALIZED_BYTES_PER_SECOND
    worker.call(planning.Materialize(record), Budget(seconds, PLAN.memory_bytes + work))
    found = store.materialized(plan.id, sum(tensor.nbytes for tensor in plan.tensors))
    assert found is not None
    return found.read


def _faults(error: SpecError) -> str:
    """The first fault of a spec, and how many more there are."""
    more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
    return _line(str(error.faults[0])) + more


def _last_line(error: Exception) -> str:
    return _line(str(error).strip().splitlines()[-1])


def _line(text: str) -> str:
    """Text that may quote a stranger's spec, as one printable line that is not long."""
    return "".join(c if c.isprintable() else " " for c in text[:SHOWN])


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
