"""Architectures that a worker has built and recorded: a sweep over seeds builds one once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_args

from seedpoint.models.architectures import FOREIGN, Architecture
from seedpoint.models.planning.compiler import Planned, plan_structure
from seedpoint.models.planning.record_architecture import Structure, survey
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import Spec, parse_spec
from seedpoint.service.concurrency.cache import LRU

_FOREIGN = frozenset(
    name for cls in FOREIGN for name in get_args(cls.model_fields["type"].annotation)
)
BLOB_BYTES = 1024  # Of literals: what counts as much as a tensor or a module.


@dataclass(slots=True)
class Recording:
    """An architecture as it was parsed, what its constructors did, and the latest plan on it.

    `rest` is the digest of what else but the seed that plan was made of.
    """

    architecture: Architecture
    structure: Structure
    rest: bytes | None = None
    planned: Planned | None = None

    @property
    def weight(self) -> int:
        """About the kilobytes that it takes."""
        blobs = sum(map(len, self.structure.blobs.values()))
        return 1 + len(self.structure.tensors) + len(self.structure.modules) + blobs // BLOB_BYTES


class Recordings:
    """The architectures used latest, up to `tensors` tensors and modules in all.

    By their text, not their canonical form: a fault names a place in the caller's own
    document, where children may be a list or an object. Each is built inside `building`, which
    is given the document and may raise at its end: then it is not kept.
    """

    def __init__(
        self,
        tensors: int,
        building: Callable[[Any], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._known: LRU[bytes, Recording] = LRU(tensors, attrgetter("weight"))
        self._building = building

    def plan(
        self, document: Any, *, platform: Mapping[str, object], limits: Limits = DEFAULT
    ) -> tuple[Spec, Planned]:
        """The spec of a JSON document, and its plan (`compile.make_plan`).

        Raises SpecError, and LimitExceeded.
        """
        spec, recording = self._recorded(document, limits)
        rest = _digest({**document, "architecture": None, "init": _seedless(document)})
        if recording.planned is not None and recording.rest == rest:
            return spec, recording.planned.reseeded(spec, recording.structure)
        planned = plan_structure(spec, recording.structure, platform=platform, limits=limits)
        recording.planned, recording.rest = planned, rest
        return spec, planned

    def _recorded(self, document: Any, limits: Limits) -> tuple[Spec, Recording]:
        key = _digest(_recorded_of(document)) if isinstance(document, dict) else b""
        recording = self._known.get(key)
        if recording is not None:
            return parse_spec(document, architecture=recording.architecture), recording
        with self._building(document):
            spec = parse_spec(document)
            structure = survey(spec.architecture, limits, dtype=spec.model_dtype)
        recording = Recording(spec.architecture, structure)
        self._known.put(key, recording)
        return spec, recording


def _recorded_of(document: dict[str, Any]) -> list[Any]:
    """What a recording depends on: other libraries make their models in the spec's dtype."""
    architecture = document.get("architecture")
    kind = architecture.get("type") if isinstance(architecture, dict) else None
    return [
        architecture,
        document.get("dtype") if isinstance(kind, str) and kind in _FOREIGN else None,
    ]


def _seedless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.get("init", {}).items() if key != "seed"}


def _digest(value: Any) -> bytes:
    """Of the value's text, in which members keep their order; empty for one too deep to write."""
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError:  # `parse_spec` says where.
        return b""
    return hashlib.sha256(text.encode()).digest()
