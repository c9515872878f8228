"""Whether what a tensor shows is what its program should give.

A z-score is how many standard errors an observed mean or std lies from the expected
one, past what rounding explains; a tensor passes when both stay within `LIMIT`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from models.dtypes import DType
from models.program import Materialized, Orthogonal, Program
from models.statistics.expected import expected, orthogonal_std
from models.statistics.law import ROUNDING, Points
from models.statistics.overflow import limit
from models.statistics.population import Group, Shape, mixed, population, visible

LIMIT = 6.0

MOST_EXCESS = 1 / 40
"""The excess kurtosis of a sum past which its tails are not normal ones.

For n independent elements it is theirs over n: a normal or uniform law is judged at any
n, one of kurtosis 6 from 240 elements on, and a rare value once some 40 are expected.
"""

_EXACT = 1e-9  # relative; what summing known values may lose


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a tensor's converted values should show, and how far a right one may be off.

    `mean_error` and `std_error` are standard errors of sampling; `mean_slack` and
    `std_slack` bound what rounding shifts, whatever the size. `excess` is the excess
    kurtosis of the sum of all elements. `low` and `high` are the extremes if `exact`.
    """

    mean: float
    std: float
    mean_error: float
    std_error: float
    mean_slack: float
    std_slack: float
    excess: float = 0.0
    exact: bool = False
    low: float = -math.inf
    high: float = math.inf


@lru_cache(maxsize=4096)
def forecast(program: Program, shape: Shape, dtype: DType) -> Forecast | None:
    """What `program` should show in a floating tensor; None where nothing can be said.

    Conversion to 16 and 8 bits is taken into account exactly: the mass of what rounds to
    each value.
    """
    if isinstance(program.source, Materialized):
        return forecast(program.source.shown, shape, dtype)
    if dtype.name == "float8_e8m0fnu":  # powers of two, without zero or sign
        return None
    if isinstance(program.source, Orthogonal):
        return _orthogonal_forecast(program, shape, dtype)
    double = dtype.name == "float64" and not program.draws
    groups = population(program, shape, double=double)
    return _groups_forecast(groups, dtype) if groups else None


def judge(
    program: Program, shape: Shape, dtype: DType, observed: Mapping[str, Any]
) -> dict[str, Any]:
    """`expected`, `z` and `pass` beside what is observed (`accumulator.MEASURED`).

    Known values must be met exactly (z is 0, or null when they are not). An element that is
    not finite fails where finite ones are expected, also when converting overflowed. `pass`
    is null when nothing is expected, or when too few elements decide for a normal law.
    """
    found = expected(program, shape)
    try:
        foreseen = forecast(program, shape, dtype) if dtype.is_floating else None
    except (ArithmeticError, ValueError):
        foreseen = None  # As in `expected`, at the very ends of binary64.
    z_mean, z_std, passed = None, None, None
    if found.mean is not None and (observed["nan_count"] or observed["inf_count"]):
        passed = False
    elif foreseen is None:
        pass
    elif observed["mean"] is None or observed["std"] is None:
        passed = False
    elif foreseen.exact:
        passed = _met(foreseen, observed)
        z_mean = z_std = 0.0 if passed else None
    else:
        z_mean = _z(observed["mean"], foreseen.mean, foreseen.mean_error, foreseen.mean_slack)
        z_std = _z(observed["std"], foreseen.std, foreseen.std_error, foreseen.std_slack)
        passed = all(z is not None and abs(z) <= LIMIT for z in (z_mean, z_std))
        passed = passed if foreseen.excess <= MOST_EXCESS else None
    return {
        "expected": {"mean": found.mean, "std": found.std},
        "z": {"mean": z_mean, "std": z_std},
        "pass": passed,
    }


def _z(observed: float, mean: float, error: float, slack: float) -> float | None:
    """Standard errors between the two, past the slack; None for infinitely many."""
    off = observed - mean
    excess = math.copysign(max(abs(off) - slack, 0.0), off)
    if error == 0:
        return 0.0 if excess == 0 else None
    return excess / error


def _met(foreseen: Forecast, observed: Mapping[str, Any]) -> bool:
    scale = _EXACT * max(abs(foreseen.low), abs(foreseen.high))
    near = math.isclose(observed["mean"], foreseen.mean, rel_tol=0.0, abs_tol=scale)
    near = near and math.isclose(observed["std"], foreseen.std, rel_tol=0.0, abs_tol=scale)
    return near and (observed["min"], observed["max"]) == (foreseen.low, foreseen.high)


def _groups_forecast(groups: Sequence[Group], dtype: DType) -> Forecast | None:
    """Sampling errors of mean and std, to first order in 1 / sqrt(elements)."""
    total = sum(group.count for group in groups)
    every = mixed(groups, dtype)
    mean, variance, _ = every.moments()
    second, fourth, squares = 0.0, 0.0, 0.0  # cumulants of the sum; variance of sum((x-mean)^2)
    for group in groups:
        points = visible(group.law.points(dtype), total)
        _, m2, m4 = points.moments()
        second += group.count * m2
        fourth += group.count * (m4 - 3 * m2**2)
        squares += group.count * Points((points.values - mean) ** 2, points.weights).moments()[1]
    if not all(map(math.isfinite, (mean, variance, second, fourth, squares))):
        return None
    of_mean = second / total**2
    return Forecast(
        mean=mean,
        std=math.sqrt(max(variance - of_mean, 0.0)),
        mean_error=math.sqrt(of_mean),
        std_error=math.sqrt(squares / variance) / (2 * total) if variance else 0.0,
        mean_slack=max(group.law.mean_error for group in groups),
        std_slack=max(group.law.std_error for group in groups),
        excess=fourth / second**2 if second else 0.0,
        exact=all(group.law.atom is not None for group in groups),
        low=float(every.values.min()),
        high=float(every.values.max()),
    )


def _orthogonal_forecast(program: Program, shape: Shape, dtype: DType) -> Forecast | None:
    """The sum of the entries has variance gain^2 min(rows, columns) (Haar measure).

    The sum of their squares is fixed, so the std varies only by the mean. None where an
    entry, none of which exceeds the gain, may be past the dtype's largest value.
    """
    found = expected(program, shape)
    if not found.std or found.std / orthogonal_std(1.0, shape) > limit(dtype):
        return None
    of_mean = found.std**2 / math.prod(shape)
    slack = (torch.finfo(dtype.torch).eps / 2 + 16 * ROUNDING) * found.std
    return Forecast(
        mean=0.0,
        std=math.sqrt(max(found.std**2 - of_mean, 0.0)),
        mean_error=math.sqrt(of_mean),
        std_error=of_mean / (math.sqrt(2) * found.std),
        mean_slack=slack,
        std_slack=slack,
    )
