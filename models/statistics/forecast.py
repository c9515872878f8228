"""What a program's converted values should show, and by how much right ones may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Materialized, Program
from seedpoint.models.statistics.distribution import Points
from seedpoint.models.statistics.grids import Floats
from seedpoint.models.statistics.mixture import Group, Shape, mixed, population, visible
from seedpoint.models.statistics.tail_bounds import Sum, Term, bulk

_AT_ZERO = 1e-7
_NEVER = 1e-15
_SUMMING = 1e-9  # relative; what adding known values may lose


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a tensor's converted values should show, and how far a right one may be off.

    `mean_error` and `std_error` are standard errors of sampling, of the std around the
    expected mean; `mean_slack` and `std_slack` bound what rounding shifts, whatever the size.
    `is_alike` when all elements have one law. `low` and `high` are the extremes if `exact`.
    """

    mean: float
    std: float
    mean_error: float
    std_error: float
    mean_slack: float
    std_slack: float
    is_alike: bool = True
    exact: bool = False
    low: float = -math.inf
    high: float = math.inf

    @property
    def slack(self) -> float:
        """How far rounding may move a value, on average."""
        return self.mean_slack + self.std_slack


@lru_cache(maxsize=4096)
def forecast(program: Program, shape: Shape, dtype: DType) -> Forecast | None:
    """What `program` should show in a floating tensor; None where nothing can be said.

    Conversion to 16 and 8 bits is taken into account exactly: the mass of what rounds to
    each value. An orthogonal matrix is none of independent values: `orthogonality` judges it.
    """
    if dtype.name == "float8_e8m0fnu":  # powers of two, without zero or sign
        return None
    try:
        groups = groups_of(program, shape, dtype)
        return _of_groups(groups, dtype) if groups else None
    except (ArithmeticError, ValueError):
        return None  # As in `expected`, at the very ends of binary64.


@lru_cache(maxsize=1024)
def groups_of(program: Program, shape: Shape, dtype: DType) -> tuple[Group, ...]:
    """The groups of a tensor's elements, as they are computed for its dtype."""
    if isinstance(program.source, Materialized):
        return groups_of(program.source.shown, shape, dtype)
    return population(program, shape, double=dtype.name == "float64" and not program.draws)


def _of_groups(groups: Sequence[Group], dtype: DType) -> Forecast | None:
    total = sum(group.count for group in groups)
    every = _likely(mixed(groups, dtype), total)
    mean, variance, _ = every.moments()
    sum_variance, square_variance = 0.0, 0.0
    for group in groups:
        points = _likely(group.law.points(dtype), total)
        sum_variance += group.count * points.moments()[1]
        squares = Points((points.values - mean) ** 2, points.weights)
        square_variance += group.count * squares.moments()[1]
    if not all(map(math.isfinite, (mean, variance, sum_variance, square_variance))):
        return None
    std = math.sqrt(variance)
    return Forecast(
        mean=mean,
        std=std,
        mean_error=math.sqrt(sum_variance) / total,
        std_error=math.sqrt(square_variance) / (2 * std * total) if std else 0.0,
        mean_slack=max(group.law.mean_error for group in groups),
        std_slack=max(group.law.std_error for group in groups),
        is_alike=len(groups) == 1,
        exact=all(group.law.atom is not None for group in groups),
        low=float(every.values.min()),
        high=float(every.values.max()),
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over all elements that are judged, of y = (x - mean) / std.

    `first` is of y, `second` of y^2, `fourth` of y^4 - `slope` y^2: what of y^4 does not
    vary with y^2, so that a wrong std does not show in it again (for a normal law it is the
    Hermite polynomial of degree 4, but for constants). `fourth_slack` is for rounding.
    """

    first: Sum
    second: Sum
    fourth: Sum
    slope: float
    fourth_slack: float


@lru_cache(maxsize=32)
def sums(program: Program, shape: Shape, dtype: DType) -> Sums:
    """The sums of a tensor that has a `forecast` with a std past what rounding shifts."""
    found = forecast(program, shape, dtype)
    assert found is not None
    assert found.std > 0
    terms = [
        Term(term.count, (term.values - found.mean) / found.std, term.weights)
        for term in terms_of(groups_of(program, shape, dtype), dtype)
    ]
    total = sum(term.count for term in terms)
    y = np.concatenate([term.values for term in terms])
    weights = np.concatenate([term.weights * (term.count / total) for term in terms])
    slope = _slope(y, weights)
    moved = float(np.sum(weights * (4 * np.abs(y) ** 3 + 2 * abs(slope) * np.abs(y))))
    size = float(np.sum(weights * (y**4 + abs(slope) * y**2)))
    slack = total * (moved * found.slack / found.std + _SUMMING * size)
    return Sums(
        Sum(terms),
        Sum([_squared(term, dtype) for term in terms]),
        Sum([_fourth(bulk(term), slope) for term in terms]),
        slope,
        slack,
    )


@lru_cache(maxsize=64)
def row_sum(program: Program, shape: Shape, dtype: DType, width: int) -> Sum:
    """The sum of squares of `width` elements of a tensor whose elements have one law."""
    (term,) = terms_of(groups_of(program, shape, dtype), dtype)
    return Sum([_squared(Term(width, term.values, term.weights), dtype)])


def terms_of(groups: Sequence[Group], dtype: DType) -> list[Term]:
    """The groups' converted values."""
    total = sum(group.count for group in groups)
    points = [_likely(group.law.points(dtype), total) for group in groups]
    return [
        Term(group.count, part.values, part.weights)
        for group, part in zip(groups, points, strict=True)
    ]


def _likely(points: Points, total: int) -> Points:
    """`points` without those that none of `total` elements is at, but for the extremes to judge.

    Else a law that rounds to one value would have a std that nobody sees.
    """
    shown = visible(points, total)
    kept = shown.weights * total > _NEVER
    return shown if kept.all() else Points(shown.values[kept], shown.weights[kept])


def _squared(term: Term, dtype: DType) -> Term:
    """The squares; of a continuous law also 0, which nodes may miss, however unlikely.

    More mass there can only raise the bounds.
    """
    squares, weights = term.values**2, term.weights
    if dtype.itemsize > 2 and term.values.min() < 0 < term.values.max():
        squares = np.append(squares, 0.0)
        weights = np.append(weights * (1 - _AT_ZERO), _AT_ZERO)
    return Term(term.count, squares, weights)


def _fourth(term: Term, slope: float) -> Term:
    return Term(term.count, term.values**4 - slope * term.values**2, term.weights)


def _slope(y: Floats, weights: Floats) -> float:
    """How y^4 varies with y^2; 0 where y^2 does not vary."""
    square = y**2 - np.sum(weights * y**2)
    variance = float(np.sum(weights * square**2))
    return float(np.sum(weights * square * y**4)) / variance if variance > _SUMMING else 0.0
