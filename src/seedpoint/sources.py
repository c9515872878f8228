"""Argument `source` of `load_into`, `state_dict` and `tensor`: all that stands for a plan.

A plan is opened without the code that makes plans, which is imported only for a spec.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seedpoint.models.plan.plan import Plan
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.verify.stated_plan import checked_plan
from seedpoint.service.local.plan_sources import document_of_file, source_of_file

if TYPE_CHECKING:
    from typing import TypeAlias

    from seedpoint.checkpoint import Checkpoint
    from seedpoint.models.spec.schema import Spec

    Source: TypeAlias = (
        Spec
        | Plan
        | Checkpoint
        | PlanSource
        | "ClientCheckpoint"
        | Mapping[str, Any]
        | bytes
        | str
        | os.PathLike[str]
        | tuple[Any, str]
    )

_ID = re.compile(r"[0-9a-f]{64}")


class ClientCheckpoint(Protocol):
    """Checkpoint of a client: it has the plan, and perhaps `buffers`, a method like it.

    `buffers` returns the buffers that no state dict holds: tensors by name, or a safetensors file.
    """

    def plan(self) -> bytes | Mapping[str, Any] | Plan:
        """Return the canonical plan."""


def open_source(source: Source) -> PlanSource:
    """Return the plan that `source` stands for; a pair is a client and an id.

    Raises: The errors of `load_into`, except ModuleMismatch.
    """
    if isinstance(source, PlanSource):
        return source
    if isinstance(source, Plan):
        return PlanSource(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return PlanSource(checked_plan(bytes(source)))
    if isinstance(source, Mapping):
        return _of_document(source)
    if isinstance(source, str | os.PathLike):
        return _of_path(source)
    if isinstance(source, tuple) and len(source) == 2 and hasattr(source[0], "get"):
        client, id = source
        return _of_client(client.get(id))
    planned = getattr(source, "source", None)  # of a Checkpoint, whose module may not be imported
    if isinstance(planned, PlanSource):
        return planned
    return _of_client(source) if callable(getattr(source, "plan", None)) else _of_spec(source)


def _of_document(document: Mapping[str, Any]) -> PlanSource:
    """Return the source of a spec, or of a plan's document."""
    if "architecture" in document or "format" not in document:
        return _of_spec(document)
    return PlanSource(checked_plan(document))


def _of_spec(spec: Any) -> PlanSource:
    from seedpoint.checkpoint import Checkpoint
    from seedpoint.models.spec.schema import Spec

    if not isinstance(spec, Spec | Mapping):
        raise TypeError(
            f"{type(spec).__name__} is not a source: pass a spec, a plan, a Checkpoint or a path"
        )
    return Checkpoint.from_spec(spec).source


def _of_path(path: str | os.PathLike[str]) -> PlanSource:
    target = Path(path)
    if target.name.endswith(".json") and not target.name.endswith(".safetensors.index.json"):
        document = document_of_file(target)
        is_plan = document.get("format") is not None
        return PlanSource(checked_plan(target.read_bytes())) if is_plan else _of_spec(document)
    if _ID.fullmatch(os.fspath(path)) and not target.exists():
        raise FileNotFoundError(
            f"no file {os.fspath(path)!r}; an id needs a client: pass Client(url).get(id)"
        )
    return source_of_file(target)


def _of_client(checkpoint: Any) -> PlanSource:
    found = checkpoint.plan()
    plan = found if isinstance(found, Plan) else checked_plan(found)
    return PlanSource(plan, ask_buffers=getattr(checkpoint, "buffers", None))
