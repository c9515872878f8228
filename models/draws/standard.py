"""Standard random variables, of which the values of draws are lines."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Form = tuple[bool, float, float]
"""Variable as kernels take it: whether its base is normal, and the scale and shift of the exponent.

The scale is 0 for a variable that is no exponential.
"""

TAIL = 9.0
"""Largest magnitude that is looked at: a standard normal is beyond with probability 2e-19."""


class Variable(ABC):
    """Continuous random variable on [start, stop]; equal instances are alike."""

    @property
    def start(self) -> float:
        return -math.inf

    @property
    def stop(self) -> float:
        return math.inf

    @property
    def finest(self) -> float:
        """Share of the spread below which values that round to zero shift no moment visibly."""
        return 2.0**-14

    @property
    @abstractmethod
    def form(self) -> Form: ...

    @abstractmethod
    def between(self, start: float, stop: float) -> float:
        """Return the probability of [start, stop]."""

    @abstractmethod
    def masses(self, edges: Floats) -> Floats:
        """Return the probabilities between ascending edges."""

    @abstractmethod
    def nodes(self, start: float, stop: float, panel: float = 1.0) -> tuple[Floats, Floats]:
        """Return Gauss-Lobatto nodes on [start, stop], with weights times the density.

        Panels are at most `panel` wide.
        """

    @abstractmethod
    def moments(self, slope: float, intercept: float) -> tuple[float, float, float] | None:
        """Return mean, std and excess kurtosis of a line over the whole range.

        None where they are not known exactly.
        """


class UniformVariable(Variable):
    """Uniform on [-1, 1]."""

    @property
    def start(self) -> float:
        return -1.0

    @property
    def stop(self) -> float:
        return 1.0

    @property
    def form(self) -> Form:
        return False, 0.0, 0.0

    def between(self, start: float, stop: float) -> float:
        return (stop - start) / 2

    def masses(self, edges: Floats) -> Floats:
        return np.diff(edges) / 2

    def nodes(self, start: float, stop: float, panel: float = 1.0) -> tuple[Floats, Floats]:
        x, weights = _lobatto_nodes(start, stop, panel)
        return x, weights * 0.5

    def moments(self, slope: float, intercept: float) -> tuple[float, float, float]:
        return intercept, abs(slope) / math.sqrt(3), -1.2


class NormalVariable(Variable):
    """Normal of mean 0 and std 1."""

    @property
    def form(self) -> Form:
        return True, 0.0, 0.0

    def between(self, start: float, stop: float) -> float:
        if start > 0:  # without cancellation in the tail
            start, stop = -stop, -start
        low, high = math.erfc(-start / math.sqrt(2)) / 2, math.erfc(-stop / math.sqrt(2)) / 2
        return max(high - low, 0.0)

    def masses(self, edges: Floats) -> Floats:
        """Return the probabilities between edges, without cancellation in the tails."""
        tails = torch.erfc(torch.from_numpy(np.abs(edges) * math.sqrt(0.5))).numpy()
        signed = np.where(edges < 0, tails, -tails) * 0.5
        mass: Floats = signed[1:] - signed[:-1]
        if len(mass) and edges[0] < 0 <= edges[-1]:
            mass[np.searchsorted(edges, 0.0) - 1] += 1.0  # the range with both tails outside
        return np.maximum(mass, 0.0, out=mass)

    def nodes(self, start: float, stop: float, panel: float = 1.0) -> tuple[Floats, Floats]:
        x, weights = _lobatto_nodes(max(start, -TAIL), min(stop, TAIL), panel)
        return x, weights * (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))

    def moments(self, slope: float, intercept: float) -> tuple[float, float, float]:
        return intercept, abs(slope), 0.0


@dataclass(frozen=True, slots=True)
class Exponential(Variable):
    """exp(scale * v + shift) of a variable v; `scale` is above 0."""

    base: Variable
    scale: float
    shift: float

    @property
    def start(self) -> float:
        return math.exp(self.scale * self.base.start + self.shift)

    @property
    def stop(self) -> float:
        return math.exp(self.scale * self.base.stop + self.shift)

    @property
    def finest(self) -> float:
        return 0.0  # most values may be as small

    @property
    def form(self) -> Form:
        return self.base.form[0], self.scale, self.shift

    def between(self, start: float, stop: float) -> float:
        return self.base.between(self._inverse(start), self._inverse(stop))

    def masses(self, edges: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return self.base.masses((np.log(edges) - self.shift) / self.scale)

    def nodes(self, start: float, stop: float, panel: float = 1.0) -> tuple[Floats, Floats]:
        ends = (self._inverse(start), self._inverse(stop))
        v, weights = self.base.nodes(*ends, panel=min(panel, 1.0 / self.scale))
        return np.exp(self.scale * v + self.shift), weights

    def moments(self, slope: float, intercept: float) -> None:
        return None

    def _inverse(self, x: float) -> float:
        return (math.log(x) - self.shift) / self.scale if x > 0 else -math.inf


UNIFORM, NORMAL = UniformVariable(), NormalVariable()


@dataclass(frozen=True, slots=True)
class Line:
    """Values slope * x + intercept of a variable x, where x is in [start, stop].

    `mean_error` and `std_error` bound what the draw's arithmetic moves the mean and the std by,
    besides rounding of the values themselves.
    """

    variable: Variable
    slope: float
    intercept: float
    start: float = -math.inf
    stop: float = math.inf
    mean_error: float = 0.0
    std_error: float = 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the values."""
        x, weights = self.variable.nodes(self.start, self.stop)
        return math.sqrt(moments(self.slope * x + self.intercept, weights / weights.sum())[1])


def moments(values: Floats, weights: Floats) -> tuple[float, float, float]:
    """Return mean, and second and fourth central moments, of values with weights that sum to 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.sum(weights * values))
        squares = (values - mean) ** 2
        second = float(np.sum(weights * squares))
        return mean, second, float(np.sum(weights * squares**2))


def _lobatto_nodes(start: float, stop: float, panel: float) -> tuple[Floats, Floats]:
    """Return Gauss-Lobatto nodes and weights on [start, stop], in panels at most `panel` wide."""
    if stop <= start:
        return np.empty(0), np.empty(0)
    edges = np.linspace(start, stop, math.ceil((stop - start) / panel) + 1)
    x, weights = _lobatto(17)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1] + edges[1:])[:, None] / 2
    return (middle + half * x).ravel(), (half * weights).ravel()


@lru_cache(maxsize=1)
def _lobatto(count: int) -> tuple[Floats, Floats]:
    """Return nodes and weights on [-1, 1], exact for polynomials up to degree 2 * count - 3."""
    legendre = np.polynomial.legendre.Legendre.basis(count - 1)
    slope, bend = legendre.deriv(), legendre.deriv(2)
    inner = np.sort(np.real(slope.roots()))
    for _ in range(3):  # Newton: the roots are good to some 1e-13
        inner = inner - slope(inner) / bend(inner)
    x = np.concatenate([[-1.0], inner, [1.0]])
    return x, 2 / (count * (count - 1) * legendre(x) ** 2)
