"""Statistics of a checkpoint: its tensors beside what was expected, its layers, totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.files.blobs import Blobs
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Materialized, Program, Split
from seedpoint.models.statistics.accumulator import (
    BLOCK_ELEMENTS,
    MEASURED,
    TensorAccumulator,
    blocks_of,
    summary,
    widened,
)
from seedpoint.models.statistics.dependence import Shape
from seedpoint.models.statistics.describe import describe_program, totals
from seedpoint.models.statistics.forecast import forecast
from seedpoint.models.statistics.known_values import Comparison, known
from seedpoint.models.statistics.lines import Lines
from seedpoint.models.statistics.orthogonal import frame
from seedpoint.models.statistics.split_windows import Window, windows
from seedpoint.models.statistics.strata import Stratum
from seedpoint.models.statistics.verdict import judge

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

    `blobs` holds literals by SHA-256, and `blob_files` reads blobs, for tensors that are compared
    with what was given.
    `observers` are those of the tensors that are to be seen, by name: floating ones, and others
    whose elements are known. `accumulators` are those of floating tensors.
    """

    def __init__(
        self,
        plan: Plan,
        blobs: Mapping[str, Any] | None = None,
        blob_files: Blobs | None = None,
    ) -> None:
        self.plan = plan
        self.accumulators: dict[str, TensorAccumulator] = {}
        self._comparisons: dict[str, BlockComparison] = {}
        for tensor in plan.tensors:
            given = known(tensor.program, tensor.shape, tensor.dtype, blobs or {}, blob_files)
            if tensor.dtype.is_floating:
                strata = _strata(tensor)
                accumulator = TensorAccumulator(
                    tensor.numel, tensor.dtype, strata=strata, known=given
                )
                self.accumulators[tensor.name] = accumulator
            elif given is not None:
                self._comparisons[tensor.name] = BlockComparison(given)
        self.observers: Mapping[str, Observer] = {**self.accumulators, **self._comparisons}
        self._described: dict[int, dict[str, Any]] = {}

    @property
    def seen_bytes(self) -> int:
        """The bytes of the tensors that are to be seen."""
        return sum(tensor.nbytes for tensor in self.plan.tensors if tensor.name in self.observers)

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
            **self._judged(program, tensor, observed),
        }

    def _judged(
        self, program: Program, tensor: PlanTensor, observed: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The verdict; of a split tensor that of all, and of every part."""
        accumulator = self.accumulators.get(tensor.name)
        comparison: Comparison | None = self._comparisons.get(tensor.name)
        strata: tuple[Stratum, ...] = ()
        if accumulator is not None:
            comparison, strata = accumulator.comparison, accumulator.strata
        windows = [stratum for stratum in strata if stratum.window is not None]
        verdict = judge(
            *(program, tensor.shape, tensor.dtype, observed),
            None if windows or not strata else strata[0].examined,
            counted=None if accumulator is None else accumulator.histogram,
            different=None if comparison is None else comparison.different,
            laws=1 + len(windows),
        )
        if not windows:
            return verdict
        parts = [self._part(stratum, tensor.dtype, 1 + len(windows)) for stratum in windows]
        verdicts = [part["pass"] for part in parts]
        if verdict["pass"] is not None:  # not so where the laws of all have no closed form
            verdicts.append(verdict["pass"])
        passed = False if False in verdicts else None if None in verdicts else True
        return {**verdict, "pass": passed, "parts": parts}

    def _part(self, stratum: Stratum, dtype: DType, laws: int) -> dict[str, Any]:
        window = stratum.window
        assert window is not None
        observed = summary([stratum])
        verdict = judge(
            *(window.program, window.shape, dtype, observed, stratum.examined),
            counted=stratum.histogram,
            laws=laws,
        )
        return {
            "place": [{"axis": axis, "start": i, "stop": j} for axis, i, j in window.axes],
            "numel": window.numel,
            "program": describe_program(window.program),
            "mean": observed["mean"],
            "std": observed["std"],
            **verdict,
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


class BlockComparison(Comparison):
    """Compares a tensor that is not floating with its known elements, as its blocks come."""

    def add(self, index: int, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """The elements from index * BLOCK_ELEMENTS on, given as their bytes."""
        super().add(index * BLOCK_ELEMENTS, raw)


class Observer(Protocol):
    """Something that looks at a tensor's final bytes, block by block."""

    def add(self, index: int, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None: ...


def _strata(tensor: PlanTensor) -> list[Stratum]:
    """Elements examined beside moments: of the whole tensor, or of each part of a split."""
    blocks, dtype = blocks_of(tensor.numel), tensor.dtype
    is_drawn = tensor.program.draws or isinstance(tensor.program.source, Materialized | Split)
    if not tensor.numel or not is_drawn:
        return []
    if parts := windows(tensor.program, tensor.shape):
        return [_stratum(part.program, part.shape, dtype, blocks, part) for part in parts]
    return [_stratum(tensor.program, tensor.shape, dtype, blocks)]


def _stratum(
    program: Program, shape: Shape, dtype: DType, blocks: int, window: Window | None = None
) -> Stratum:
    def center() -> float | None:
        """The mean of independent elements of one law."""
        found = forecast(program, shape, dtype)
        alike = found is not None and found.is_alike and not found.exact and found.std > 0
        return found.mean if found is not None and alike else None

    is_frame = frame(program, shape, dtype) is not None
    lines = Lines(shape) if is_frame and Lines.fit(shape) else None
    return Stratum(shape, blocks, window=window, center=center, lines=lines)


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
