"""The law of a group's converted elements, ready for bins and tails.

A tensor of 32 or 64 bits has the continuous law itself; in a narrower one each value that can be
represented has the mass of what rounds to it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from seedpoint.models.dtypes import DType
from seedpoint.models.statistics import masses
from seedpoint.models.statistics.distribution import Law
from seedpoint.models.statistics.grids import Floats


class GroupLaw(Protocol):
    """The probabilities of one element; `has_atoms` when single values have any."""

    has_atoms: bool

    def shares(self, low: float, high: float, bins: int) -> tuple[Floats, float]:
        """Return those of equal bins over [low, high], the last with `high`, and their sum."""

    def tails(self, near: float, far: float, *, upper: bool) -> tuple[float, float]:
        """Return those of a value as great (`upper`) or as small as `near`, and as `far`."""

    def at(self, value: float) -> float:
        """Return that of just `value`."""


def group_law(law: Law, dtype: DType) -> GroupLaw:
    """Return the law of values converted to a floating `dtype`."""
    return Continuous(law) if dtype.itemsize > 2 else Representable(law, dtype)


class Continuous:
    """A law as it is before conversion."""

    def __init__(self, law: Law) -> None:
        segments = [(s.start, s.stop, s.slope, s.intercept) for s in law.segments]
        self._law = law
        self._mass = law.mass
        self._form = law.variable.form
        self._lines = np.array(segments)
        self.has_atoms = any(segment.slope == 0 for segment in law.segments)

    def shares(self, low: float, high: float, bins: int) -> tuple[Floats, float]:
        shares = np.zeros(bins)
        inside = masses.line_shares(self._lines, self._form, low, high, shares)
        return shares, inside

    def tails(self, near: float, far: float, *, upper: bool) -> tuple[float, float]:
        as_far, past = masses.tails(self._lines, self._form, near, far, upper)
        return as_far / self._mass, past / self._mass

    def at(self, value: float) -> float:
        return self._law.at(value) / self._mass if self.has_atoms else 0.0


class Representable:
    """The finite values of a narrow dtype, ascending, each with its probability."""

    has_atoms = True

    def __init__(self, law: Law, dtype: DType) -> None:
        points = law.points(dtype)
        finite = np.isfinite(points.values)
        order = np.argsort(points.values[finite], kind="stable")
        self._values = points.values[finite][order]
        self._weights = points.weights[finite][order]
        self._below = np.concatenate([[0.0], np.cumsum(self._weights)])
        self._above = np.concatenate([np.cumsum(self._weights[::-1])[::-1], [0.0]])

    def shares(self, low: float, high: float, bins: int) -> tuple[Floats, float]:
        shares = np.zeros(bins)
        inside = masses.binned(self._values, self._weights, low, high, shares)
        return shares, inside

    def tails(self, near: float, far: float, *, upper: bool) -> tuple[float, float]:
        as_far, past = self._values.searchsorted((near, far), "left" if upper else "right")
        tail = self._above if upper else self._below
        return float(tail[as_far]), float(tail[past])

    def at(self, value: float) -> float:
        start, stop = (self._values.searchsorted(value, side) for side in ("left", "right"))
        return float(self._below[stop] - self._below[start])
