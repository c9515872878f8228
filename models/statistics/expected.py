"""The mean and std that a program's values have in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from seedpoint.models.plan.program import Materialized, Orthogonal, Program, Scale
from seedpoint.models.statistics.mixture import Group, Shape, mixed, population

_NOISE = 1e-14  # of a mean by quadrature, relative to the std


@dataclass(frozen=True, slots=True)
class Expected:
    """Mean, population std and excess kurtosis of a program, before conversion to a dtype.

    None where there is no closed form, or no finite one; `kurtosis` also where the std is
    0. `exact` when nothing is drawn, so that the values themselves are known.
    """

    mean: float | None = None
    std: float | None = None
    kurtosis: float | None = None
    exact: bool = False


@lru_cache(maxsize=4096)
def expected(program: Program, shape: Shape) -> Expected:
    """Return the statistics that the elements of a tensor of `shape` are expected to show.

    Parts and filled regions are mixed by their exact sizes. Literals have no closed form.
    """
    if isinstance(program.source, Materialized):
        return expected(program.source.shown, shape)
    try:
        if isinstance(program.source, Orthogonal):
            found = _orthogonal(program, shape)
        else:
            groups = population(program, shape, double=True)
            found = _of_groups(groups) if groups else Expected()
    except (ArithmeticError, ValueError):
        # At the very ends of binary64 a closed form divides by zero or overflows.
        return Expected()
    known = found.mean is not None and found.std is not None
    finite = known and math.isfinite(found.mean or 0.0) and math.isfinite(found.std or 0.0)
    return found if finite else Expected()


def _of_groups(groups: tuple[Group, ...]) -> Expected:
    """The arguments themselves for a draw only scaled and shifted, else moments."""
    exact = all(group.law.atom is not None for group in groups)
    line = groups[0].law.line if len(groups) == 1 else None
    if line is not None:
        variable = groups[0].law.variable
        whole = (line.start, line.stop) == (variable.start, variable.stop)
        if whole and (known := variable.moments(line.slope, line.intercept)) is not None:
            return Expected(*known)
    if len(groups) == 1 and (value := groups[0].law.atom) is not None:
        return Expected(value, 0.0, None, exact=True)
    mean, variance, fourth = mixed(groups).moments()
    std = math.sqrt(variance)
    mean = mean if abs(mean) > _NOISE * std else 0.0
    kurtosis = fourth / variance**2 - 3 if variance else None
    return Expected(mean, std, kurtosis, exact)


def _orthogonal(program: Program, shape: Shape) -> Expected:
    """Entries of a semi-orthogonal matrix, whose squares add up to its smaller side."""
    total = math.prod(shape)
    source = program.source
    scales = [transform.value for transform in program.transforms if isinstance(transform, Scale)]
    if not isinstance(source, Orthogonal) or not total or len(scales) < len(program.transforms):
        return Expected()
    return Expected(0.0, orthogonal_std(source.gain * math.prod(scales), source.matrix(shape)))


def orthogonal_std(gain: float, shape: Shape) -> float:
    """The root mean square of a semi-orthogonal matrix times `gain`; `shape` is not empty."""
    return abs(gain) / math.sqrt(max(shape[0], math.prod(shape[1:])))
