"""Initializers that are draws of the stream, one each."""

from __future__ import annotations

from typing import Literal

from seedpoint.models import draws
from seedpoint.models.initializers.base import ArgumentError, Initializer, Target
from seedpoint.models.plan.program import Source
from seedpoint.models.spec.numbers import Number


class Uniform(Initializer):
    """Uniform on [a, b)."""

    type: Literal["uniform"]
    a: Number = 0.0
    b: Number = 1.0

    def source(self, target: Target) -> Source:
        return draws.Uniform.of(target.number("a", self.a), target.number("b", self.b))


class Normal(Initializer):
    """Normal with the given mean and standard deviation."""

    type: Literal["normal"]
    mean: Number = 0.0
    std: Number = 1.0

    def source(self, target: Target) -> Source:
        mean, std = target.number("mean", self.mean), target.number("std", self.std)
        if std < 0:
            raise ArgumentError("std", f"std must be >= 0, not {std}")
        return draws.Normal.of(mean, std)


class TruncNormal(Initializer):
    """Normal, truncated to the absolute bounds [a, b]."""

    type: Literal["trunc_normal"]
    mean: Number = 0.0
    std: Number = 1.0
    a: Number = -2.0
    b: Number = 2.0

    def source(self, target: Target) -> Source:
        mean, std = target.number("mean", self.mean), target.number("std", self.std)
        if std <= 0:
            raise ArgumentError("std", f"std must be > 0, not {std}")
        a, b = target.number("a", self.a), target.number("b", self.b)
        return draws.TruncNormal.of(mean, std, a, b)


Drawn = Uniform | Normal | TruncNormal
