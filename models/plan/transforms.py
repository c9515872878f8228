"""Transforms of values after their source, each in float32 with one rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Scale:
    """x * value."""

    type: ClassVar[str] = "scale"
    value: float


@dataclass(frozen=True, slots=True)
class Add:
    """x + value."""

    type: ClassVar[str] = "add"
    value: float


@dataclass(frozen=True, slots=True)
class Clamp:
    """min(max(x, min), max); None means no bound."""

    type: ClassVar[str] = "clamp"
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class HardThreshold:
    """x where |x| >= value, else x * 0, which keeps the sign of zero."""

    type: ClassVar[str] = "hard_threshold"
    value: float


@dataclass(frozen=True, slots=True)
class Divide:
    """x / value."""

    type: ClassVar[str] = "divide"
    value: float


@dataclass(frozen=True, slots=True)
class Exp:
    """e^x (`formulas.pointwise`)."""

    type: ClassVar[str] = "exp"


@dataclass(frozen=True, slots=True)
class Expm1:
    """e^x - 1 (`formulas.pointwise`)."""

    type: ClassVar[str] = "expm1"


@dataclass(frozen=True, slots=True)
class Log:
    """ln(x) (`formulas.pointwise`)."""

    type: ClassVar[str] = "log"


@dataclass(frozen=True, slots=True)
class Reciprocal:
    """1 / x."""

    type: ClassVar[str] = "reciprocal"


@dataclass(frozen=True, slots=True)
class Sqrt:
    """Square root of x (`formulas.pointwise`)."""

    type: ClassVar[str] = "sqrt"


@dataclass(frozen=True, slots=True)
class Softplus:
    """ln(1 + e^x) (`formulas.pointwise`)."""

    type: ClassVar[str] = "softplus"


Function = Exp | Expm1 | Log | Reciprocal | Sqrt | Softplus
"""Transforms without arguments, each a function of one number."""


@dataclass(frozen=True, slots=True)
class Plus:
    """x + y, with y = x after `transforms`: the inverse of softplus is x + ln(-(e^-x - 1))."""

    type: ClassVar[str] = "plus"
    transforms: tuple[Pointwise, ...]


@dataclass(frozen=True, slots=True)
class ZeroRows:
    """Zeros in `rows` (indices along axis 0), which are sorted, non-negative and distinct."""

    type: ClassVar[str] = "zero_rows"
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetElement:
    """Assignment of `value` to one element, by its non-negative index along each axis."""

    type: ClassVar[str] = "set"
    index: tuple[int, ...]
    value: int | float


@dataclass(frozen=True, slots=True)
class FillRegion:
    """Assignment of `value` to a box: one (start, stop, step) for each axis."""

    type: ClassVar[str] = "fill_region"
    region: tuple[tuple[int, int, int], ...]
    value: float


@dataclass(frozen=True, slots=True)
class ClampRegion:
    """`Clamp` in a box: one (start, stop, step) for each axis."""

    type: ClassVar[str] = "clamp_region"
    region: tuple[tuple[int, int, int], ...]
    min: float | None = None
    max: float | None = None


Pointwise = Scale | Add | Divide | Function | Clamp | HardThreshold | Plus
"""Transforms that act on one element, independent of its position."""
Positional = ZeroRows | SetElement | FillRegion | ClampRegion
"""Transforms that act on some elements, by their position."""
Transform = Pointwise | Positional
