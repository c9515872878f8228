"""Search for values that a function makes NaN or infinite, in a sample of each tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.formulas import Formula, Map
from seedpoint.models.generation.sources import ReferenceDraws, Sources
from seedpoint.models.generation.whole_tensors import Wholes
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Base,
    Constant,
    Copy,
    Dirac,
    Eye,
    Literal,
    Materialized,
    Program,
    Source,
    Split,
    Sum,
)
from seedpoint.models.plan.transforms import Divide, Function, Plus, Positional
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.statistics.overflow import limit
from seedpoint.models.validation.messages import listed

SAMPLED = 1 << 14  # elements at each end of a tensor that are looked at
MAX_PROGRAMS = 64  # different programs that are looked at, a few milliseconds each

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """Elements of the sample that are NaN and infinite, and the step that made them.

    `step` is "map" or the name of a transform; `of` the number of elements in the sample.
    """

    step: str
    nan: int
    infinite: int
    of: int

    def __str__(self) -> str:
        counts = ((self.nan, "NaN"), (self.infinite, "infinite"))
        shares = (f"{self._share(count)} {what}" for count, what in counts if count)
        return f"{' and '.join(shares)} of {self.of:,} values"

    def _share(self, count: int) -> str:
        return f"{count / self.of:.0%}" if 100 * count >= self.of else f"{count:,}"


def non_finite(tensors: Sequence[PlanTensor], blobs: Mapping[str, Any]) -> Iterator[PlanWarning]:
    """Yield a warning for each rule with a function that has no finite value somewhere.

    A sample is looked at: all elements of a small tensor, and both ends of a large one. Own inits
    are left to their libraries, and so are infinities that the spec gives.
    """
    search = _Search(Sources(0, blobs, ReferenceDraws(torch.device("cpu")), Wholes()))
    found: dict[tuple[int, str], tuple[_Finding, list[str]]] = {}
    for tensor in tensors:
        if tensor.rule is None or not tensor.dtype.is_floating or not tensor.numel:
            continue
        for finding in search.findings(_shown(tensor.program), tensor.shape, tensor.dtype):
            names = found.setdefault((tensor.rule, finding.step), (finding, []))[1]
            names.append(tensor.name)
    for (rule, step), (finding, names) in found.items():
        place = "initializer" if step == Map.type else "transforms"
        path = f"init.rules.{rule}.{place}"
        where = listed(list(dict.fromkeys(names)))
        message = f"{path}: {step} makes {finding} in {where}"
        yield PlanWarning("SP210", path, message)


class _Search:
    """Search of programs, each once, up to MAX_PROGRAMS."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._known: dict[tuple[int, Shape, DType], tuple[_Finding, ...]] = {}
        self._looked = 0

    def findings(self, program: Program, shape: Shape, dtype: DType) -> tuple[_Finding, ...]:
        """Return what is found in a program, and in the parts of a split."""
        key = (id(program), shape, dtype)
        if key not in self._known:
            self._known[key] = tuple(self._find(program, shape, dtype))
        return self._known[key]

    def _find(self, program: Program, shape: Shape, dtype: DType) -> Iterator[_Finding]:
        source = program.source
        if isinstance(source, Split):
            parts = {(id(part.program), part.size): part for part in source.parts}
            for part in parts.values():
                yield from self.findings(part.program, source.shape_of(part, shape), dtype)
        if _is_simple(source) and _has_function(program) and self._looked < MAX_PROGRAMS:
            self._looked += 1
            if (finding := self._look(program, shape, dtype)) is not None:
                yield finding

    def _look(self, program: Program, shape: Shape, dtype: DType) -> _Finding | None:
        """Return the first step that makes values NaN or infinite; None if the last has none."""
        last = self._count(program, shape, dtype)
        if not any(last):
            return None
        of = sum(stop - start for start, stop in _ranges(math.prod(shape)))
        before = self._count(replace(program, transforms=()), shape, dtype)
        if any(before) and _has_map(program.source):
            return _Finding(Map.type, *last, of)
        for number, step in enumerate(program.transforms):
            made = replace(program, transforms=program.transforms[: number + 1])
            after = self._count(made, shape, dtype)
            if after != before and not isinstance(step, Positional):
                name = "inverse_softplus" if isinstance(step, Plus) else step.type
                return _Finding(name, *last, of)
            before = after
        return None

    def _count(self, program: Program, shape: Shape, dtype: DType) -> tuple[int, int]:
        """Return how many elements of the sample are NaN and infinite in `dtype`."""
        exact = dtype.name == "float64" and not program.draws
        largest = limit(dtype if dtype.has_infinity else BY_NAME["float32"])
        nan = infinite = 0
        for start, stop in _ranges(math.prod(shape)):
            values = torch.empty(stop - start, dtype=torch.float64 if exact else torch.float32)
            self._sources.values(program, "", shape, start, stop, values)
            nan += int(values.isnan().sum())
            infinite += int((values.abs().double() > largest).sum())
        return nan, infinite


def _has_function(program: Program) -> bool:
    is_function = any(isinstance(step, Function | Plus | Divide) for step in program.transforms)
    return is_function or _has_map(program.source)


def _has_map(source: Source) -> bool:
    if isinstance(source, Sum):
        return any(_has_map(term.source) for term in source.terms)
    return isinstance(source, Map)


def _is_simple(source: Source) -> bool:
    """Return whether a range of the source is computed quickly, by itself."""
    if isinstance(source, Split):
        programs = [part.program for part in source.parts] + [source.base or Program(Eye())]
        inner = {id(each): each.source for each in programs if not isinstance(each.source, Base)}
        return all(map(_is_simple, inner.values()))
    if isinstance(source, Sum):
        return all(_is_simple(term.source) for term in source.terms)
    if isinstance(source, Copy):
        return _is_simple(source.of.source)
    return isinstance(source, Draw | Constant | Literal | Eye | Dirac | Formula)


def _ranges(numel: int) -> list[tuple[int, int]]:
    if numel <= 2 * SAMPLED:
        return [(0, numel)]
    return [(0, SAMPLED), (numel - SAMPLED, numel)]


def _shown(program: Program) -> Program:
    source = program.source
    return source.shown if isinstance(source, Materialized) else program
