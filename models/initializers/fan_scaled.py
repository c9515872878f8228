"""Initializers scaled by the fans: xavier, kaiming, and the general variance scaling."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.initializers.base import (
    ArgumentError,
    Gain,
    GainSpec,
    Initializer,
    Nonlinearity,
    Target,
    gain_of,
    resolve_gain,
)
from seedpoint.models.plan.program import Source
from seedpoint.models.validation.numbers import Number

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal truncated to [-2, 2], as JAX writes it."""

GLOROT = "https://proceedings.mlr.press/v9/glorot10a.html"
HE = "https://arxiv.org/abs/1502.01852"
LECUN = "http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"

FanMode = Literal["fan_in", "fan_out"]
ScalingMode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
Distribution = Literal["truncated_normal", "normal", "uniform"]


class _ByFans(Initializer):
    by_fans = True


class XavierUniform(_ByFans):
    """Uniform with bound gain * sqrt(6 / (fan_in + fan_out))."""

    type: Literal["xavier_uniform"]
    gain: GainSpec = 1.0
    paper: ClassVar[str | None] = GLOROT

    def source(self, target: Target) -> Source:
        bound = math.sqrt(3.0) * _xavier_std(self.gain, target, "xavier_uniform")
        return Uniform.of(-bound, bound)


class XavierNormal(_ByFans):
    """Normal with std gain * sqrt(2 / (fan_in + fan_out))."""

    type: Literal["xavier_normal"]
    gain: GainSpec = 1.0
    paper: ClassVar[str | None] = GLOROT

    def source(self, target: Target) -> Source:
        return Normal.of(0.0, _xavier_std(self.gain, target, "xavier_normal"))


class KaimingUniform(_ByFans):
    """Uniform with bound gain * sqrt(3 / fan); the gain follows from the nonlinearity and a."""

    type: Literal["kaiming_uniform"]
    a: Number = 0.0
    mode: FanMode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"
    paper: ClassVar[str | None] = HE

    def source(self, target: Target) -> Source:
        bound = math.sqrt(3.0) * _kaiming_std(self, target)
        return Uniform.of(-bound, bound)


class KaimingNormal(_ByFans):
    """Normal with std gain / sqrt(fan); the gain follows from the nonlinearity and a."""

    type: Literal["kaiming_normal"]
    a: Number = 0.0
    mode: FanMode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"
    paper: ClassVar[str | None] = HE

    def source(self, target: Target) -> Source:
        return Normal.of(0.0, _kaiming_std(self, target))


class VarianceScaling(_ByFans):
    """Truncated normal, normal or uniform with variance scale / fan.

    This is the general rule of JAX and Keras; the lecun, glorot and he forms are special cases. The
    truncated normal is cut at two standard deviations and widened so that its std after truncation
    is the requested one.
    """

    type: Literal["variance_scaling"]
    scale: Number = 1.0
    mode: ScalingMode = "fan_in"
    distribution: Distribution = "truncated_normal"
    paper: ClassVar[str | None] = HE

    def source(self, target: Target) -> Source:
        scale = target.number("scale", self.scale)
        if scale <= 0:
            raise ArgumentError("scale", f"scale must be > 0, not {scale}")
        return variance_scaling(target, scale, self.mode, self.distribution)


class _Scaled(_ByFans):
    """Variance scaling with three fixed arguments."""

    rule: ClassVar[tuple[float, ScalingMode, Distribution]]

    def source(self, target: Target) -> Source:
        return variance_scaling(target, *self.rule)


class LecunNormal(_Scaled):
    """`variance_scaling(1, fan_in, truncated_normal)`."""

    type: Literal["lecun_normal"]
    rule = (1.0, "fan_in", "truncated_normal")
    paper = LECUN


class LecunUniform(_Scaled):
    """`variance_scaling(1, fan_in, uniform)`."""

    type: Literal["lecun_uniform"]
    rule = (1.0, "fan_in", "uniform")
    paper = LECUN


class GlorotNormal(_Scaled):
    """`variance_scaling(1, fan_avg, truncated_normal)`: the form of Keras and JAX."""

    type: Literal["glorot_normal"]
    rule = (1.0, "fan_avg", "truncated_normal")
    paper = GLOROT


class GlorotUniform(_Scaled):
    """`variance_scaling(1, fan_avg, uniform)`: the form of Keras and JAX."""

    type: Literal["glorot_uniform"]
    rule = (1.0, "fan_avg", "uniform")
    paper = GLOROT


class HeNormal(_Scaled):
    """`variance_scaling(2, fan_in, truncated_normal)`: the form of Keras and JAX."""

    type: Literal["he_normal"]
    rule = (2.0, "fan_in", "truncated_normal")
    paper = HE


class HeUniform(_Scaled):
    """`variance_scaling(2, fan_in, uniform)`: the form of Keras and JAX."""

    type: Literal["he_uniform"]
    rule = (2.0, "fan_in", "uniform")
    paper = HE


def variance_scaling(
    target: Target, scale: float, mode: ScalingMode, distribution: Distribution
) -> Source:
    """Return the source with variance `scale / fan`.

    Raises:
        ValueError: If the tensor has no fans.
    """
    fans = target.required_fans("variance_scaling")
    fan = {
        "fan_in": fans.fan_in,
        "fan_out": fans.fan_out,
        "fan_avg": (fans.fan_in + fans.fan_out) / 2,
        "fan_geo_avg": math.sqrt(fans.fan_in * fans.fan_out),
    }[mode]
    variance = scale / fan
    if distribution == "uniform":
        bound = math.sqrt(3 * variance)
        return Uniform.of(-bound, bound)
    if distribution == "normal":
        return Normal.of(0.0, math.sqrt(variance))
    std = math.sqrt(variance) / TRUNCATED_STD
    return TruncNormal.of(0.0, std, -2 * std, 2 * std)


def _xavier_std(gain: int | float | str | Gain, target: Target, name: str) -> float:
    fans = target.required_fans(name)
    factor = resolve_gain(gain, target)
    if factor < 0:
        raise ArgumentError("gain", f"gain must be >= 0, not {factor}")
    return factor * math.sqrt(2.0 / float(fans.fan_in + fans.fan_out))


def _kaiming_std(rule: KaimingUniform | KaimingNormal, target: Target) -> float:
    fans = target.required_fans(rule.type)
    fan = fans.fan_in if rule.mode == "fan_in" else fans.fan_out
    gain = gain_of(rule.nonlinearity, target.number("a", rule.a), "a")
    return gain / math.sqrt(fan)
