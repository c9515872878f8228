"""The mean and std that a program's converted values should have, with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Materialized, Program
from seedpoint.models.statistics.distribution import Points
from seedpoint.models.statistics.mixture import Group, Shape, mixed, population, visible
from seedpoint.models.statistics.tail_bounds import Term

_NEVER = 1e-15


@dataclass(frozen=True, slots=True)
class Forecast:
    """The mean and std of a tensor's converted values, and how far a right tensor may be off.

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
        """The distance by which rounding may move a value, on average."""
        return self.mean_slack + self.std_slack


@lru_cache(maxsize=4096)
def forecast(program: Program, shape: Shape, dtype: DType) -> Forecast | None:
    """Return the forecast for a floating tensor of `program`; None without a closed form.

    Conversion to 16 and 8 bits is taken into account exactly: the mass of what rounds to
    each value. An orthogonal matrix has no
    independent values: `models.statistics.orthogonal` judges it.
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
    """Return the groups of a tensor's elements, as they are computed for its dtype."""
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


def terms_of(groups: Sequence[Group], dtype: DType, around: float | None = None) -> list[Term]:
    """Return the groups' converted values, of continuous laws denser towards `around` if given."""
    total = sum(group.count for group in groups)
    found: list[Term] = []
    for group in groups:
        is_exact = around is None or dtype.itemsize <= 2
        points = group.law.points(dtype) if is_exact else group.law.points_around(around or 0.0)
        likely = _likely(points, total)
        found.append(Term(group.count, likely.values, likely.weights))
    return found


def _likely(points: Points, total: int) -> Points:
    """Return `points` without values too rare for `total` elements, which the extremes judge.

    Without this, a law that rounds to one value would have a std that no tensor shows.
    """
    shown = visible(points, total)
    kept = shown.weights * total > _NEVER
    return shown if kept.all() else Points(shown.values[kept], shown.weights[kept])
