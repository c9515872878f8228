"""What a worker process does: a request's raw body in, a plan or its faults out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models import compile, materialize
from models.errors import PlatformMismatch, SpecError
from models.spec import Spec, parse_spec
from service.documents import parse_json
from service.errors import MalformedBody
from service.store import Store, write_atomically
from service.workers import Task

PRELOAD = (__name__,)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: its id, its record, and the literals it names by SHA-256 (hex)."""

    id: str
    plan: bytes
    blobs: Mapping[str, bytes]


def task(store: Path, *, max_materialized_bytes: int) -> Task[Planned]:
    """What the workers of a pool run."""
    return Task(
        run=partial(plan, store=store, max_materialized_bytes=max_materialized_bytes),
        warm_up=warm_up,
        expected=(MalformedBody, SpecError, PlatformMismatch),
    )


def plan(body: bytes, *, store: Path, max_materialized_bytes: int) -> Planned:
    """The plan of the spec in `body`; a platform-bound one's tensors are put into `store`.

    Raises MalformedBody, SpecError, PlatformMismatch.
    """
    try:
        spec = parse_spec(parse_json(body))
        planned = compile.make_plan(spec, platform=materialize.platform())
        if planned.plan.platform is not None:
            _materialize(spec, planned, Store(store), max_materialized_bytes)
    except RecursionError:
        raise SpecError.at("", "nested too deeply to be built") from None
    except MemoryError:
        raise SpecError.at("", "takes more memory to build than a worker has") from None
    return Planned(planned.plan.id, planned.plan.record, planned.blobs)


def _materialize(spec: Spec, planned: compile.Planned, store: Store, max_bytes: int) -> None:
    path = store.materialized_path(planned.plan.id)
    if path.exists():
        return
    total = sum(tensor.nbytes for tensor in planned.plan.tensors)
    if total > max_bytes:
        raise SpecError.at(
            "init.generator",
            f"{planned.plan.generator} makes a checkpoint as a whole, at most {max_bytes} bytes, "
            f"and this one has {total}; philox-v1 has no such limit",
        )
    tensors = materialize.materialize(spec, planned)
    write_atomically(path, materialize.raw(planned.plan, tensors))


def warm_up() -> None:
    """Imports and runs what the first request would wait for."""
    layer = {"type": "Linear", "in_features": 1, "out_features": 1}
    compile.make_plan(parse_spec({"architecture": {"type": "Sequential", "layers": [layer]}}))
