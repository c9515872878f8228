"""Standard random variables, of which the values of draws are lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAIL = 9.0
"""Largest magnitude that is looked at: a standard normal is beyond with probability 2e-19."""


class Variable:
    """Continuous random variable on [start, stop]; instances that are equal are alike."""

    start: ClassVar[float] = -math.inf
    stop: ClassVar[float] = math.inf
    finest: ClassVar[float] = 2.0**-14
    """Share of the spread below which values that round to zero shift no moment visibly."""

    def between(self, start: float, stop: float) -> float:
        """Return the probability of [start, stop]."""
        raise NotImplementedError

    def masses(self, edges: Floats) -> Floats:
        """Return the probabilities between ascending edges."""
        raise NotImplementedError

    def nodes(self, start: float, stop: float) -> tuple[Floats, Floats]:
        """Return Gauss-Lobatto nodes on [start, stop], with weights times the density."""
        raise NotImplementedError

    def moments(self, slope: float, intercept: float) -> tuple[float, float, float] | None:
        """Return mean, std and excess kurtosis of a line over the whole range, if known exactly."""
        raise NotImplementedError


class UniformVariable(Variable):
    """Uniform on [-1, 1]."""

    start: ClassVar[float] = -1.0
    stop: ClassVar[float] = 1.0

    def between(self, start: float, stop: float) -> float:
        return (stop - start) / 2

    def masses(self, edges: Floats) -> Floats:
        return np.diff(edges) / 2

    def nodes(self, start: float, stop: float) -> tuple[Floats, Floats]:
        x, weights = lobatto_nodes(start, stop)
        return x, weights * 0.5

    def moments(self, slope: float, intercept: float) -> tuple[float, float, float]:
        return intercept, abs(slope) / math.sqrt(3), -1.2


class NormalVariable(Variable):
    """Normal of mean 0 and std 1."""

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

    def nodes(self, start: float, stop: float) -> tuple[Floats, Floats]:
        x, weights = lobatto_nodes(start, stop)
        return x, weights * (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))

    def moments(self, slope: float, intercept: float) -> tuple[float, float, float]:
        return intercept, abs(slope), 0.0


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


def lobatto_nodes(start: float, stop: float) -> tuple[Floats, Floats]:
    """Return Gauss-Lobatto nodes and weights on [start, stop], in panels at most 1 wide."""
    start, stop = max(start, -TAIL), min(stop, TAIL)
    if stop <= start:
        return np.empty(0), np.empty(0)
    edges = np.linspace(start, stop, math.ceil(stop - start) + 1)
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
