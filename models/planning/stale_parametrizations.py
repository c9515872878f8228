"""Detection of parametrized tensors that a rule fills while their norms keep the own init."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Materialized, Norms, SingularVector, Source
from seedpoint.models.plan.warning import PlanWarning


def stale_parametrizations(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    """Yield a warning for each tensor whose own init was computed from values that a rule replaced.

    PyTorch leaves the tensor as it is, too: weight normalization then gives the new values the
    norms of the old ones.
    """
    filled = {tensor.name: tensor.rule for tensor in tensors if tensor.rule is not None}
    for tensor in tensors:
        source = _shown(tensor.program.source)
        if tensor.rule is not None or not isinstance(source, Norms | SingularVector):
            continue
        kind = "norms" if isinstance(source, Norms) else "singular vectors"
        original = _original(tensor.name, source)
        if original in filled:
            path = f"init.rules.{filled[original]}"
            yield PlanWarning(
                "SP208",
                path,
                f"{path} fills '{original}', but '{tensor.name}' keeps the {kind} of its own init"
                + _remedy(source, original, tensor.shape),
            )


def _remedy(source: Norms | SingularVector, original: str, shape: tuple[int, ...]) -> str:
    if isinstance(source, SingularVector):
        return "; the power iterations of training replace them"
    initializer: dict[str, Any] = {"type": "norms", "of": original}
    if source.axis == 1:
        initializer["dim"] = -1
    elif not shape:
        initializer["dim"] = None
    elif kept := next((axis for axis, size in enumerate(shape) if size > 1), 0):
        initializer["dim"] = kept
    return f"; to follow, fill it by {json.dumps(initializer)}"


def _original(name: str, source: Norms | SingularVector) -> str:
    """Return the name of the tensor that the norms or vectors `name` were computed from."""
    if isinstance(source, Norms):
        return f"{name.rpartition('.')[0]}.original1"
    return f"{'.'.join(name.split('.')[:-2])}.original"


def _shown(source: Source) -> Source:
    return source.shown.source if isinstance(source, Materialized) else source
