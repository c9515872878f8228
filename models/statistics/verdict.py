"""The verdict on a tensor: its statistics beside those of its program.

A criterion is a share of its limit: past 1 the tensor fails, and None stands for the impossible.
A right tensor fails with a probability of at most `tails.BUDGET`, by all of its criteria
together, whatever its law and size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics import criteria, orthogonal
from seedpoint.models.statistics.dependence import Examined
from seedpoint.models.statistics.expected import expected
from seedpoint.models.statistics.forecast import Forecast
from seedpoint.models.statistics.histogram import Histogram
from seedpoint.models.statistics.mixture import Shape
from seedpoint.models.statistics.tail_bounds import (
    CLASSIC,
    OTHER_SHARE,
    evidence_limit,
    score_limit,
)
from seedpoint.models.statistics.tensor_law import TensorLaw, tensor_law

LIMIT = round(score_limit(), 2)
"""The score of a mean or a std past which a tensor of one law fails."""

CRITERIA = (
    *("mean", "std", "kurtosis", "extremes", "histogram", "neighbours", "repeats", "rows"),
    *("norm", "orthogonality", "values", "finite"),
)
"""The names of all criteria: eight of independent values, then those of others."""

_EXACT = 1e-9  # relative; what summing known values may lose
_DIGITS = 4  # of a share, after the point

Observed = Mapping[str, Any]
Evidence = dict[str, float | None]


def judge(
    program: Program,
    shape: Shape,
    dtype: DType,
    observed: Observed,
    examined: Examined | None = None,
    *,
    counted: Histogram | None = None,
    different: int | None = None,
    laws: int = 1,
) -> dict[str, Any]:
    """Return `expected`, `z`, `criteria` and `pass` for observed statistics (`MEASURED`).

    `examined` and `counted` hold the other statistics, and `different` the number of elements
    that differ from the known ones (None where they are not known). `laws` laws are judged in
    one tensor and share the probability of a false alarm. An element that is not finite fails
    where finite ones are expected, also when converting overflowed. `pass` is null when
    nothing can be judged.
    """
    found = expected(program, shape)
    looked = examined or Examined()
    z_mean, z_std = None, None
    shares: Evidence = {}
    if different is not None:
        shares = {"values": None if different else 0.0}
        z_mean = z_std = 0.0 if found.mean is not None and not different else None
    elif found.mean is not None and (observed["nan_count"] or observed["inf_count"]):
        shares = {"finite": None}
    elif (frame := orthogonal.frame(program, shape, dtype)) is not None:
        z_mean, shares = _orthogonal(frame, observed, looked, laws)
        z_std = 0.0 if (shares["norm"] or 2.0) <= 1 else None
    elif dtype.is_floating and (law := tensor_law(program, shape, dtype)) is not None:
        foreseen = law.forecast
        if observed["mean"] is None or observed["std"] is None:
            shares = {"finite": None}
        elif foreseen.exact or not foreseen.std:
            shares = {"values": 0.0 if _met(foreseen, observed) else None}
            z_mean = z_std = shares["values"]
        else:
            judged = _Independent(law, observed)
            z_mean, z_std = judged.scores()
            shares = judged.shares(z_mean, z_std, looked, counted, laws)
    return {
        "expected": {"mean": found.mean, "std": found.std},
        "z": {"mean": _finite(z_mean), "std": _finite(z_std)},
        "criteria": _rounded(shares),
        "pass": all(s is not None and s <= 1 for s in shares.values()) if shares else None,
    }


class _Independent:
    """Judge of elements that are independent draws."""

    def __init__(self, law: TensorLaw, observed: Observed) -> None:
        self._law = law
        self._foreseen = foreseen = law.forecast
        self._observed = observed
        self._numel = law.count
        off = observed["mean"] - foreseen.mean
        self._off = math.copysign(max(abs(off) - foreseen.mean_slack, 0.0), off)

    def scores(self) -> tuple[float, float | None]:
        """Return the scores of mean and std, past the slack; None for a std that rounding hides."""
        foreseen, std = self._foreseen, self._foreseen.std
        mean = self._off / foreseen.mean_error if foreseen.mean_error else 0.0
        if abs(mean) > CLASSIC or (self._off and not foreseen.mean_error):
            mean = self._law.sums.first.score(self._numel * self._off / std)
        if foreseen.std_slack >= std:
            return mean, None
        # Around the expected mean: a sum of independent values, which a two-valued law's
        # squares around the observed mean are not to first order.
        spread = math.hypot(self._observed["std"], self._off)
        excess = spread - std
        excess = math.copysign(max(abs(excess) - foreseen.std_slack, 0.0), excess)
        spread_score = excess / foreseen.std_error if foreseen.std_error else 0.0
        if abs(spread_score) > CLASSIC or (excess and not foreseen.std_error):
            total = self._numel * ((std + excess) / std) ** 2
            spread_score = self._law.sums.second.score(total, _EXACT * self._numel)
        return mean, spread_score

    def shares(
        self,
        mean: float,
        std: float | None,
        examined: Examined,
        counted: Histogram | None,
        laws: int,
    ) -> Evidence:
        """Return every criterion for which there are statistics."""
        foreseen, observed, limit = self._foreseen, self._observed, score_limit(laws)
        shares: Evidence = {"mean": abs(mean) / limit}
        if std is not None:
            shares["std"] = abs(std) / limit
            if observed["kurtosis"] is not None and self._numel >= criteria.FEWEST:
                shares["kurtosis"] = abs(self._kurtosis()) / score_limit(laws, OTHER_SHARE)
        most = evidence_limit(laws)
        for name, evidence in self._evidence(examined, counted).items():
            if evidence is not None:
                shares[name] = math.sqrt(max(evidence, 0.0) / most)
        return shares if foreseen.std_slack < foreseen.std or mean else {}

    def _kurtosis(self) -> float:
        """Return the score of the fourth moment beside the second, around the expected mean."""
        observed, std, count = self._observed, self._foreseen.std, self._numel
        spread, off = observed["std"] / std, (observed["mean"] - self._foreseen.mean) / std
        third, fourth = observed["skewness"] * spread**3, (observed["kurtosis"] + 3) * spread**4
        fourth += 4 * off * third + 6 * off**2 * spread**2 + off**4
        all_sums = self._law.sums
        total = count * (fourth - all_sums.slope * (spread**2 + off**2))
        return all_sums.fourth.score(total, all_sums.fourth_slack)

    def _evidence(self, examined: Examined, counted: Histogram | None) -> Evidence:
        foreseen, observed = self._foreseen, self._observed
        found: Evidence = {
            "extremes": criteria.extremes(self._law, observed["min"], observed["max"])
        }
        if counted is not None:
            found["histogram"] = criteria.histogram(self._law, counted)
        if not foreseen.is_alike:
            return found
        for lag in examined.lags:
            name = "neighbours" if lag.distance == 1 else "repeats"
            found[name] = max(criteria.lag(lag, foreseen), found.get(name) or 0.0)
        if (rows := examined.rows) is not None and foreseen.slack < foreseen.std:
            found["rows"] = criteria.rows(rows, self._law.row_sum(rows.width), foreseen)
        return found


def _orthogonal(
    frame: orthogonal.Frame, observed: Observed, examined: Examined, laws: int
) -> tuple[float | None, dict[str, float | None]]:
    """The mean's score, and the criteria of a matrix with orthonormal lines."""
    mean = frame.mean_score(observed["mean"])
    shares: dict[str, float | None] = {"norm": frame.norm_share(observed["rms"])}
    if mean is not None:
        shares["mean"] = abs(mean) / score_limit(laws)
    if examined.products is not None:
        shares["orthogonality"] = frame.orthogonality(examined.products)
    return mean, shares


def _met(foreseen: Forecast, observed: Observed) -> bool:
    scale = _EXACT * max(abs(foreseen.low), abs(foreseen.high))
    mean_room, std_room = scale + foreseen.mean_slack, scale + foreseen.std_slack
    near = math.isclose(observed["mean"], foreseen.mean, rel_tol=0.0, abs_tol=mean_room)
    near = near and math.isclose(observed["std"], foreseen.std, rel_tol=0.0, abs_tol=std_room)
    extremes = (observed["min"], observed["max"]) == (foreseen.low, foreseen.high)
    return near and (extremes or not foreseen.exact)


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def _rounded(shares: Evidence) -> Evidence:
    """Return shares with few digits; None for an infinite one."""
    return {
        name: round(share, _DIGITS) if share is not None and share < math.inf else None
        for name, share in shares.items()
    }
