"""The law of one element: a piecewise linear function of a standard random variable.

A draw is a line over the variable's range or a part of it. Affine transforms keep it a line,
clamps and thresholds cut it into pieces, and a flat piece is an atom. A law is evaluated as
weighted points, from which any moment is a sum: Gauss-Lobatto nodes for a continuous law (whose
moments they give to about 1e-14), or the representable values themselves for a rounded one.
Lobatto's nodes include the ends, so that no value is past them, and they overestimate the moments
of an exponential, where Gauss-Legendre's would underestimate: tail bounds stay bounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from seedpoint.models.draws import Draw
from seedpoint.models.draws.standard import TAIL, UNIFORM, Variable, moments
from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import Add, Clamp, HardThreshold, Scale
from seedpoint.models.statistics.grids import Floats, converted, rounding_grid

Elementwise = Scale | Add | Clamp | HardThreshold

ROUNDING = 2.0**-24
"""The largest relative error of one binary32 rounding."""

_REACH = 4  # average errors that one value may be off
_SCALES = tuple(4.0**-power for power in range(7))


@dataclass(frozen=True, slots=True)
class Segment:
    """slope * x + intercept for the standard variable x in [start, stop]."""

    start: float
    stop: float
    slope: float
    intercept: float

    @property
    def inside(self) -> float:
        """A value that the segment takes, at neither its ends nor its middle."""
        start, stop = max(self.start, -2 * TAIL), min(self.stop, 2 * TAIL)
        return self.slope * (start + (stop - start) * 0.382) + self.intercept


@dataclass(frozen=True, slots=True)
class Points:
    """A law as values with weights that add up to 1; NaN where a value has no finite form."""

    values: Floats
    weights: Floats

    def moments(self) -> tuple[float, float, float]:
        """Mean, and second and fourth central moments."""
        return moments(self.values, self.weights)


@dataclass(frozen=True, slots=True)
class Law:
    """Segments that cover the standard variable's range, left to right.

    `double` says that its values are computed in binary64 (tensors of float64 without draws),
    else binary32. `mean_error` and `std_error` bound what rounding on the way here moves the mean
    and the std by.
    """

    segments: tuple[Segment, ...]
    variable: Variable = UNIFORM
    double: bool = False
    mean_error: float = 0.0
    std_error: float = 0.0

    @classmethod
    def constant(cls, value: float, *, double: bool = False) -> Law:
        law = cls((), double=double)
        return replace(law, segments=(Segment(-1.0, 1.0, 0.0, law.machine(value)),))

    @classmethod
    def of(cls, draw: Draw) -> Law:
        """The law of a draw's elements."""
        return _law_of(draw)

    @property
    def mass(self) -> float:
        """Probability that the segments cover: less than 1 when truncated."""
        return sum(self.variable.between(segment.start, segment.stop) for segment in self.segments)

    @property
    def atom(self) -> float | None:
        """The one value that every element has, if so."""
        values = {segment.intercept for segment in self.segments}
        flat = all(segment.slope == 0 for segment in self.segments)
        return values.pop() if flat and len(values) == 1 else None

    @property
    def line(self) -> Segment | None:
        """The one segment of a draw that was only scaled and shifted."""
        only = self.segments[0] if len(self.segments) == 1 else None
        return only if only is not None and only.slope != 0 else None

    def machine(self, value: float) -> float:
        """`value` rounded to the type in which values are computed."""
        with np.errstate(over="ignore"):
            return value if self.double else float(np.float32(value))

    def transformed(self, transform: Elementwise) -> Law:
        """The law after an elementwise transform."""
        match transform:
            case Scale(value=value):
                law = self._affine(value, 0.0)
            case Add(value=value):
                law = self._affine(1.0, value)
            case Clamp(min=low, max=high):
                law = self._clamped(low, high)
            case HardThreshold(value=value):
                bound = self.machine(value)
                law = self._mapped((-bound, bound), lambda v: v if abs(v) >= bound else 0.0)
                law = law._moved_by(self._near((-bound, bound)), bound)
        return law.rounded_by(4)

    def points(self, dtype: DType | None = None) -> Points:
        """The law, or (given a floating dtype) that of its values converted to it."""
        return _points(self, dtype)

    def points_around(self, value: float) -> Points:
        """The law as points ever denser towards `value`, where an atom stands for the rest.

        E[exp(-h (x - value)^2)] is then right for any h, or too great: evenly spaced nodes would
        miss what is between them for a great h.
        """
        parts: list[tuple[Floats, Floats]] = []
        for segment in self.segments:
            distances = [abs(segment.slope) * scale for scale in _SCALES]
            cuts = [value - d for d in distances] + [value + d for d in distances]
            for piece in _cut(segment, cuts):
                if piece.slope and abs(piece.inside - value) <= distances[-1]:
                    mass = self.variable.between(piece.start, piece.stop)
                    parts.append((np.array([value]), np.array([mass])))
                else:
                    parts.append(self.segment_points(piece, None))
        return _joined(parts)

    def beyond(self, value: float, *, upper: bool) -> float:
        """Return the part of `mass` with a value at least as great (`upper`) or as small."""
        found, between = 0.0, self.variable.between
        for segment in self.segments:
            start, stop = segment.start, segment.stop
            if segment.slope == 0:
                inside = segment.intercept >= value if upper else segment.intercept <= value
                found += between(start, stop) if inside else 0.0
                continue
            x = min(max((value - segment.intercept) / segment.slope, start), stop)
            rises = (segment.slope > 0) == upper
            found += between(x, stop) if rises else between(start, x)
        return found

    def at(self, value: float) -> float:
        """Return the part of `mass` with exactly `value`."""
        flat = [s for s in self.segments if s.slope == 0 and s.intercept == value]
        return sum(self.variable.between(s.start, s.stop) for s in flat)

    def _affine(self, scale: float, shift: float) -> Law:
        factor, term = self.machine(scale), self.machine(shift)

        def moved(segment: Segment) -> Segment:
            if segment.slope == 0:
                value = self.machine(self.machine(segment.intercept * factor) + term)
                return replace(segment, intercept=value)
            slope, intercept = segment.slope * scale, segment.intercept * scale + shift
            return replace(segment, slope=slope, intercept=intercept)

        law = replace(self, segments=tuple(moved(segment) for segment in self.segments))
        errors = (abs(scale) * error for error in (self.mean_error, self.std_error))
        mean_error, std_error = errors
        return replace(law, mean_error=mean_error, std_error=std_error)

    def _clamped(self, low: float | None, high: float | None) -> Law:
        floor = -math.inf if low is None else self.machine(low)
        ceiling = math.inf if high is None else self.machine(high)
        law = self._mapped((floor, ceiling), lambda v: min(max(v, floor), ceiling))
        return law._bounded(self._near((floor, ceiling)))

    def _mapped(self, cuts: Sequence[float], function: Callable[[float], float]) -> Law:
        """The law of function(value), which between cuts is the value or a constant."""
        pieces: list[Segment] = []
        for segment in self.segments:
            for piece in _cut(segment, cuts):
                value = function(piece.inside)
                flat = replace(piece, slope=0.0, intercept=value)
                pieces.append(piece if value == piece.inside and piece.slope else flat)
        return replace(self, segments=tuple(pieces))

    def _near(self, cuts: Sequence[float]) -> float:
        """Return the mass that rounding may have moved across one of `cuts`."""
        found = 0.0
        for segment in self.segments:
            for cut in cuts if segment.slope else ():
                middle, reach = cut - segment.intercept, _REACH * self.mean_error
                edges = np.array([middle - reach, middle + reach]) / segment.slope
                edges = np.clip(np.sort(edges), segment.start, segment.stop)
                found += float(self.variable.masses(edges)[0]) if edges[0] < edges[1] else 0.0
        return found / self.mass

    def _moved_by(self, share: float, distance: float) -> Law:
        """With the error of so large a share of the values being that far off."""
        mean, variance, _ = self.points().moments()
        square = share * distance * (distance + 2 * abs(mean))
        std_error = square / (2 * math.sqrt(variance)) if variance else math.sqrt(square)
        return replace(
            self,
            mean_error=self.mean_error + share * distance,
            std_error=self.std_error + std_error,
        )

    def _bounded(self, near: float) -> Law:
        """With the errors that are left where most values are a bound, which is exact.

        `near` is how much rounding may have moved into the bounds, or out of them.
        """
        extent = self._extent()
        if not math.isfinite(extent) or self.atom is not None:
            return self
        sloped = (segment for segment in self.segments if segment.slope)
        free = sum(self.variable.between(s.start, s.stop) for s in sloped)
        exact = replace(self, mean_error=0.0, std_error=0.0)
        moved = exact._moved_by(min(free / self.mass + near, 1.0), extent)
        return replace(
            self,
            mean_error=min(self.mean_error, moved.mean_error),
            std_error=min(self.std_error, moved.std_error),
        )

    def _extent(self) -> float:
        """The distance between the least and the greatest value."""
        ends = [
            segment.slope * x + segment.intercept if segment.slope else segment.intercept
            for segment in self.segments
            for x in (segment.start, segment.stop)
        ]
        return max(ends) - min(ends)

    def rounded_by(self, roundings: int) -> Law:
        """With the error of so many roundings of values as large as these."""
        if self.double or self.atom is not None:
            return self
        points = self.points()
        with np.errstate(over="ignore", invalid="ignore"):
            rms = math.sqrt(float(np.sum(points.weights * points.values**2)))
        error = roundings * ROUNDING * rms
        return replace(self, mean_error=self.mean_error + error, std_error=self.std_error + error)

    def segment_points(self, segment: Segment, dtype: DType | None) -> tuple[Floats, Floats]:
        """A segment's values (converted to `dtype`) and weights, not yet adding up to 1."""
        if segment.slope == 0:
            value = segment.intercept if dtype is None else converted(segment.intercept, dtype)
            return np.array([value]), self.variable.masses(np.array([segment.start, segment.stop]))
        if dtype is None or dtype.itemsize > 2:
            x, weights = self.variable.nodes(segment.start, segment.stop)
            return segment.slope * x + segment.intercept, weights
        return self._rounded_points(segment, dtype)

    def _rounded_points(self, segment: Segment, dtype: DType) -> tuple[Floats, Floats]:
        """The representable values, each with the mass of what rounds to it."""
        ends = (max(segment.start, -TAIL), min(segment.stop, TAIL))
        low, high = sorted(segment.slope * end + segment.intercept for end in ends)
        finest = self.variable.finest * abs(segment.slope) * min(ends[1] - ends[0], 1.0)
        values, bounds = rounding_grid(dtype, low, high, finest)
        x = (bounds - segment.intercept) / segment.slope
        if segment.slope < 0:
            values, x = values[::-1], x[::-1]
        x = np.clip(x, segment.start, segment.stop)
        edges = np.concatenate([[segment.start], x, [segment.stop]])
        weights = self.variable.masses(edges)
        return values[weights > 0], weights[weights > 0]


@lru_cache(maxsize=256)
def _law_of(draw: Draw) -> Law:
    line = draw.line
    start, stop = max(line.start, line.variable.start), min(line.stop, line.variable.stop)
    with np.errstate(over="ignore"):  # without spread, every element is the rounded intercept
        at = float(np.float32(line.intercept)) if line.slope == 0 else line.intercept
    law = Law(
        (Segment(start, stop, line.slope, at),),
        line.variable,
        mean_error=line.mean_error,
        std_error=line.std_error,
    )
    return law.rounded_by(8)


@lru_cache(maxsize=32)
def _points(law: Law, dtype: DType | None) -> Points:
    return _joined([law.segment_points(segment, dtype) for segment in law.segments])


def _joined(parts: Sequence[tuple[Floats, Floats]]) -> Points:
    values = np.concatenate([values for values, _ in parts])
    weights = np.concatenate([weights for _, weights in parts])
    return Points(values, weights / weights.sum())


def _cut(segment: Segment, cuts: Sequence[float]) -> list[Segment]:
    """The segment in pieces, cut where its value is one of `cuts`."""
    if segment.slope == 0:
        return [segment]
    places = ((cut - segment.intercept) / segment.slope for cut in cuts)
    inner = sorted(x for x in set(places) if segment.start < x < segment.stop)
    edges = [segment.start, *inner, segment.stop]
    return [replace(segment, start=start, stop=stop) for start, stop in itertools.pairwise(edges)]
