"""Replanning: a plan's spec planned again by the installed libraries, in a separate process.

The spec is untrusted: its side effects, resource use and crashes stay in that process.
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
from seedpoint.service.local.blob_files import LocalBlobs
from seedpoint.service.planning import task
from seedpoint.service.planning.refusals import planning_refusals
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.errors import WorkerFailed
from seedpoint.service.workers.worker import CallLimits, Worker

PLAN = CallLimits(seconds=60.0, memory_bytes=2 << 30)
MATERIALIZED_BYTES_PER_SECOND = 20e6  # Slowest rate that the time limit allows.
SHOWN = 400  # Longest reason shown, in characters.


@dataclass(frozen=True, slots=True)
class Replanned:
    """Result of planning a plan's spec again with the installed libraries.

    Without a `plan`, `refusal` states the spec's fault, or `failure` why planning failed.
    `failure` also states why the `materialized` tensors of a platform-bound plan are missing.
    These are made only if the new plan is the same.
    """

    plan: Plan | None = None
    refusal: str | None = None
    failure: str | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    materialized: Mapping[str, ReadBytes] = field(default_factory=dict)


@contextmanager
def replanning(plan: Plan, blobs: LocalBlobs) -> Iterator[Future[Replanned]]:
    """Plan `plan.spec` again in a worker process, concurrently with the block.

    `blobs` are the files that the spec names. The worker ends with the block, and the result is
    usable only inside it.
    """
    with tempfile.TemporaryDirectory(prefix="seedpoint-") as folder:
        store = DirectoryStore(Path(folder))
        planner = task.Planner(store, max_materialized_bytes=sys.maxsize, blobs=blobs)
        worker = Worker(forkserver.context(), planner.task())
        with ThreadPoolExecutor(1) as executor:
            try:
                yield executor.submit(_replan, worker, plan, CheckpointStore(store))
            finally:
                worker.kill()
        worker.close()


def _replan(
    worker: Worker[task.Order, task.Planned], plan: Plan, store: CheckpointStore
) -> Replanned:
    try:
        with planning_refusals():
            worker.wait_until_warm()
            planned = worker.call(task.PlanBody(json.dumps(plan.spec).encode()), PLAN)
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
    worker: Worker[task.Order, task.Planned],
    plan: Plan,
    record: bytes,
    store: CheckpointStore,
) -> ReadBytes:
    """Have the worker make a platform-bound plan's tensors, and return their reader.

    Raises: BuildMemory if they need more than half of the machine's memory.
    """
    work = task.work_bytes(plan)
    if work > _memory_bytes() // 2:
        raise BuildMemory(f"making it takes {work:,} bytes of memory")
    seconds = PLAN.seconds + work / MATERIALIZED_BYTES_PER_SECOND
    with planning_refusals():
        worker.call(task.Materialize(record), CallLimits(seconds, PLAN.memory_bytes + work))
    found = store.materialized(plan.id, sum(tensor.nbytes for tensor in plan.tensors))
    assert found is not None
    return found.read


def _faults(error: SpecError) -> str:
    """Return the first fault of a spec and the number of further ones."""
    more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
    return _line(str(error.faults[0])) + more


def _last_line(error: Exception) -> str:
    return _line(str(error).strip().splitlines()[-1])


def _line(text: str) -> str:
    """Return `text`, which may quote an untrusted spec, as one printable line of limited length."""
    return "".join(c if c.isprintable() else " " for c in text[:SHOWN])


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
