"""Statistics of a checkpoint: its tensors beside what was expected, its layers, totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.describe import describe_program, totals
from models.plan import Plan, PlanTensor
from models.program import Materialized, Program
from models.statistics.accumulator import (
    BLOCK_ELEMENTS,
    MEASURED,
    TensorAccumulator,
    summary,
    widened,
)
from models.statistics.verdict import judge

__all__ = [
    "BLOCK_ELEMENTS",
    "CheckpointStatistics",
    "TensorAccumulator",
    "layers",
    "summary",
    "widened",
]


class CheckpointStatistics:
    """The statistics of a plan's tensors, and of its layers, as they are gathered.

    `accumulators` are those of the floating tensors, by name; nothing is observed of others.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.accumulators = {
            tensor.name: TensorAccumulator(tensor.numel, tensor.dtype)
            for tensor in plan.tensors
            if tensor.dtype.is_floating
        }
        self._described: dict[int, dict[str, Any]] = {}

    def document(self) -> dict[str, Any]:
        """Tensors, layers and totals, ready for JSON.

        A layer is a module with tensors of its own, tied ones too, merged; the root's
        name is empty.

        Raises:
            ValueError: When blocks are missing.
        """
        tensors = {tensor.name: self.tensor(tensor) for tensor in self.plan.tensors}
        return {
            "tensors": tensors,
            "layers": {name: self.merged(members) for name, members in layers(self.plan).items()},
            "totals": totals(self.plan) | _counts(list(tensors.values())),
        }

    def tensor(self, tensor: PlanTensor) -> dict[str, Any]:
        """One tensor: what it is, what it shows, and what was expected of it."""
        accumulator = self.accumulators.get(tensor.name)
        observed = dict.fromkeys(MEASURED) if accumulator is None else accumulator.result()
        source = tensor.program.source
        program = source.shown if isinstance(source, Materialized) else tensor.program
        return {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "dtype": tensor.dtype.code,
            "rule": tensor.rule,
            "program": self._describe(program),
            "fan_in": tensor.fan_in,
            "fan_out": tensor.fan_out,
            **observed,
            "numel": tensor.numel,
            **judge(program, tensor.shape, tensor.dtype, observed),
        }

    def _describe(self, program: Program) -> dict[str, Any]:
        """The program as JSON, made once for all tensors that share it."""
        if (found := self._described.get(id(program))) is None:
            found = self._described[id(program)] = describe_program(program)
        return found

    def container(self, name: str) -> dict[str, Any]:
        """All tensors of a module and of every module below it, merged."""
        below = f"{name}." if name else ""
        return self.merged(
            [t for t in self.plan.tensors if any(n.startswith(below) for n in _names(t))]
        )

    def merged(self, tensors: Sequence[PlanTensor]) -> dict[str, Any]:
        """Distinct tensors as one. `numel` counts floating elements, which alone are seen."""
        floating = [tensor.name for tensor in tensors if tensor.dtype.is_floating]
        accumulators = [self.accumulators[name] for name in floating]
        return {"tensors": [tensor.name for tensor in tensors], **summary(accumulators)}


def layers(plan: Plan) -> dict[str, list[PlanTensor]]:
    """The modules that have tensors of their own, tied ones too, by name."""
    found: dict[str, list[PlanTensor]] = {}
    for tensor in plan.tensors:
        for name in dict.fromkeys(map(_parent, _names(tensor))):
            found.setdefault(name, []).append(tensor)
    return found


def _names(tensor: PlanTensor) -> tuple[str, ...]:
    return (tensor.name, *tensor.aliases)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _counts(tensors: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Elements that are not finite, and tensors by verdict."""
    verdicts = [tensor["pass"] for tensor in tensors]
    return {
        "nan_count": sum(tensor["nan_count"] or 0 for tensor in tensors),
        "inf_count": sum(tensor["inf_count"] or 0 for tensor in tensors),
        "passed": verdicts.count(True),
        "failed": verdicts.count(False),
        "unjudged": verdicts.count(None),
    }
