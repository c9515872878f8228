"""Cache of the architectures that a worker has recorded: a sweep over seeds builds one once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, get_args

from seedpoint.models.architectures import FOREIGN, Architecture
from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.plan.inner_sources import blobs_named
from seedpoint.models.planning.compiler import Planned, plan_structure
from seedpoint.models.planning.record_architecture import Structure, survey
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import Spec, parse_spec

_FOREIGN = frozenset(
    name for cls in FOREIGN for name in get_args(cls.model_fields["type"].annotation)
)
BLOB_BYTES = 1024  # Literal bytes that weigh as much as one tensor or module.


@dataclass(slots=True)
class Recording:
    """A parsed architecture, its recorded structure, and the latest plan made from it.

    `rest` is the digest of the plan's other inputs except the seed.
    """

    architecture: Architecture
    structure: Structure
    rest: bytes | None = None
    planned: Planned | None = None

    @property
    def weight(self) -> int:
        """Approximate size in kilobytes."""
        blobs = sum(map(len, self.structure.blobs.values()))
        return 1 + len(self.structure.tensors) + len(self.structure.modules) + blobs // BLOB_BYTES


class Recordings:
    """Recorded architectures, kept in `known`, which may forget them.

    The key is the architecture's text, not its canonical form: a fault names a place in the
    caller's own document, where children may be a list or an object. Each architecture is built
    inside `building(document)`; if that context raises at its end, the recording is not kept.
    """

    def __init__(
        self,
        known: MutableMapping[bytes, Recording],
        building: Callable[[Any], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._known = known
        self._building = building

    def plan(
        self,
        document: Any,
        *,
        platform: Mapping[str, object],
        limits: Limits = DEFAULT,
        blobs: Blobs = NO_BLOBS,
    ) -> tuple[Spec, Planned]:
        """Return the spec of a JSON document, and its plan (`compiler.make_plan`).

        A plan that names blobs, which may have gone, is made anew from the recording.

        Raises: SpecError, LimitExceeded.
        """
        spec, recording = self._recorded(document, limits)
        rest = _digest({**document, "architecture": None, "init": _seedless(document)})
        if recording.planned is not None and recording.rest == rest:
            return spec, recording.planned.reseeded(spec, recording.structure)
        structure = recording.structure
        planned = plan_structure(spec, structure, platform=platform, limits=limits, blobs=blobs)
        if not blobs_named(planned.plan):
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
        self._known[key] = recording
        return spec, recording


def _recorded_of(document: dict[str, Any]) -> list[Any]:
    """Return the parts of a document that a recording depends on.

    Models of other libraries, at the top or inside, also depend on the spec's dtype, in which they
    are built.
    """
    architecture = document.get("architecture")
    return [architecture, document.get("dtype") if _has_library_model(architecture) else None]


def _has_library_model(architecture: Any) -> bool:
    left = [architecture]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(kind := value.get("type"), str) and kind in _FOREIGN:
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


def _seedless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.get("init", {}).items() if key != "seed"}


def _digest(value: Any) -> bytes:
    """Return the SHA-256 of a value's JSON, members in order; empty if it is nested too deeply."""
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError:  # `parse_spec` reports the place.
        return b""
    return hashlib.sha256(text.encode()).digest()
