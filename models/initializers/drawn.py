"""Initializers that are draws of the stream, one each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from seedpoint.models import draws
from seedpoint.models.initializers.base import ArgumentError, Initializer, Target
from seedpoint.models.plan.program import Source
from seedpoint.models.validation.numbers import Number


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
    """Normal, truncated to the absolute bounds [a, b]; in these, `mean` and `std` are names."""

    type: Literal["trunc_normal"]
    mean: Number = 0.0
    std: Number = 1.0
    a: Number = -2.0
    b: Number = 2.0

    def source(self, target: Target) -> Source:
        mean, std = target.number("mean", self.mean), target.number("std", self.std)
        if std <= 0:
            raise ArgumentError("std", f"std must be > 0, not {std}")
        own = replace(target, scope={"mean": mean, "std": std, **target.scope})
        return draws.TruncNormal.of(mean, std, own.number("a", self.a), own.number("b", self.b))


class LogUniform(Initializer):
    """Uniform in the exponent: exp of a uniform on [ln a, ln b], within [a, b]."""

    type: Literal["log_uniform"]
    a: Number
    b: Number
    example: ClassVar[Mapping[str, Any]] = {"a": 0.001, "b": 0.1}

    def source(self, target: Target) -> Source:
        a, b = target.number("a", self.a), target.number("b", self.b)
        if a <= 0:
            raise ArgumentError("a", f"a must be > 0, not {a}")
        if b <= a:
            raise ArgumentError("b", f"b must be > a, which is {a}, not {b}")
        return draws.LogUniform.of(a, b)


Drawn = Uniform | Normal | TruncNormal | LogUniform
