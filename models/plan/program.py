"""Programs: a tensor's values as a source followed by transforms.

A program is a frozen value with an exact JSON form. Every float32 constant that the stream's
formulas take (STREAM: `f32(c)`) is resolved once, when the program is made, and stored in it; it is
never computed again from the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from seedpoint.models.plan.transforms import (
    Add,
    Clamp,
    Divide,
    Exp,
    Expm1,
    FillRegion,
    HardThreshold,
    Log,
    Plus,
    Pointwise,
    Scale,
    SetElement,
    Transform,
    ZeroRows,
)

__all__ = [
    "Add",
    "Clamp",
    "Constant",
    "Dirac",
    "Divide",
    "Draw",
    "Exp",
    "Expm1",
    "Eye",
    "FillRegion",
    "HardThreshold",
    "Literal",
    "Log",
    "Materialized",
    "Normal",
    "Norms",
    "Opaque",
    "Orthogonal",
    "Part",
    "Plus",
    "Pointwise",
    "Program",
    "Scalar",
    "Scale",
    "SetElement",
    "Source",
    "Sparse",
    "Split",
    "Transform",
    "TruncNormal",
    "Uniform",
    "Whole",
    "ZeroRows",
    "f32",
    "keyed",
    "program_from_json",
    "to_json",
]

Scalar = bool | int | float | complex


def f32(value: float) -> float:
    """Round `value`, a binary64 number, once to binary32 (as a Python float)."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


# --- sources -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """Source that gives every element the same `value`, exact in the tensor's dtype."""

    type: ClassVar[str] = "constant"
    value: Scalar


@dataclass(frozen=True, slots=True)
class Literal:
    """Source of given bytes: a blob of row-major little-endian elements.

    `sha256` names the blob (lower-case hex), `dtype` its element type (`float32`).
    """

    type: ClassVar[str] = "literal"
    sha256: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Uniform:
    """Draw `uniform(low, high)` of the stream; `f32` is (f32(high - low), f32(low))."""

    type: ClassVar[str] = "uniform"
    low: float
    high: float
    f32: tuple[float, ...]
    draw: int = 0
    stream: str | None = None

    @classmethod
    def of(cls, low: float, high: float, *, draw: int = 0, stream: str | None = None) -> Uniform:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: high < low, or a bound or the width is beyond float32.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"uniform bounds must be finite, not {low} and {high}")
        if high < low:
            raise ValueError(f"uniform needs low <= high, not {low} > {high}")
        low, high = float(low), float(high)
        constants = (f32(high - low), f32(low))
        if not all(map(math.isfinite, constants)):
            raise ValueError(f"uniform({low}, {high}) is wider than float32 can hold")
        return cls(low, high, constants, draw, stream)


@dataclass(frozen=True, slots=True)
class Normal:
    """Draw `normal(mean, std)` of the stream; `f32` is (f32(std), f32(mean))."""

    type: ClassVar[str] = "normal"
    mean: float
    std: float
    f32: tuple[float, ...]
    draw: int = 0
    stream: str | None = None

    @classmethod
    def of(cls, mean: float, std: float, *, draw: int = 0, stream: str | None = None) -> Normal:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: std < 0, or a constant is beyond float32.
        """
        mean, std = float(mean), float(std)
        constants = (f32(std), f32(mean))
        if not all(map(math.isfinite, constants)):
            raise ValueError(f"normal needs a finite mean and std, not {mean} and {std}")
        if std < 0:
            raise ValueError(f"normal needs std >= 0, not {std}")
        return cls(mean, std, constants, draw, stream)


@dataclass(frozen=True, slots=True)
class TruncNormal:
    """Draw `trunc_normal(mean, std, a, b)` of the stream, with absolute bounds a and b.

    `f32` is (f32(lo), f32(hi - lo), f32(sqrt(2) * std), f32(mean), f32(a), f32(b)).
    """

    type: ClassVar[str] = "trunc_normal"
    mean: float
    std: float
    a: float
    b: float
    f32: tuple[float, ...]
    draw: int = 0
    stream: str | None = None

    @classmethod
    def of(
        cls,
        mean: float,
        std: float,
        a: float,
        b: float,
        *,
        draw: int = 0,
        stream: str | None = None,
    ) -> TruncNormal:
        """Return the draw with its constants resolved.

        Raises:
            ValueError: std <= 0, a >= b, an argument is beyond float32, or both bounds lie more
                than 4 std from the mean on one side.
        """
        mean, std, a, b = float(mean), float(std), float(a), float(b)
        if not all(map(math.isfinite, (f32(mean), f32(std), f32(a), f32(b)))):
            raise ValueError("trunc_normal needs finite float32 arguments")
        if std <= 0:
            raise ValueError(f"trunc_normal needs std > 0, not {std}")
        if a >= b:
            raise ValueError(f"trunc_normal needs a < b, not {a} >= {b}")
        alpha, beta = (a - mean) / std, (b - mean) / std
        if alpha > 4 or beta < -4:
            raise ValueError(
                f"trunc_normal bounds [{a}, {b}] lie wholly beyond 4 std on one side of "
                f"the mean {mean}: too few float32 probabilities there"
            )
        lo, hi = math.erf(alpha / math.sqrt(2)), math.erf(beta / math.sqrt(2))
        lo, hi = 2 * ((1 + lo) / 2) - 1, 2 * ((1 + hi) / 2) - 1
        constants = (f32(lo), f32(hi - lo), f32(math.sqrt(2) * std), f32(mean), f32(a), f32(b))
        return cls(mean, std, a, b, constants, draw, stream)


@dataclass(frozen=True, slots=True)
class Eye:
    """Source of ones on the diagonal of a matrix and zeros elsewhere."""

    type: ClassVar[str] = "eye"


@dataclass(frozen=True, slots=True)
class Dirac:
    """Source of the Dirac delta kernel of a 3, 4 or 5-dimensional weight, per group."""

    type: ClassVar[str] = "dirac"
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """Whole-tensor source `orthogonal(gain)` of the stream, on the matrix rows x (rest)."""

    type: ClassVar[str] = "orthogonal"
    gain: float
    draw: int = 0
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Sparse:
    """Whole-tensor source `sparse(sparsity, std)`: draws `draw` and `draw + 1` of a matrix.

    `f32` is (f32(std), 0), the constants of its normal values.
    """

    type: ClassVar[str] = "sparse"
    sparsity: float
    std: float
    f32: tuple[float, ...]
    draw: int = 0
    stream: str | None = None

    @classmethod
    def of(cls, sparsity: float, std: float, *, draw: int = 0, stream: str | None = None) -> Sparse:
        """Return the source with its constants resolved.

        Raises:
            ValueError: std < 0 or beyond float32, or sparsity is outside [0, 1].
        """
        if not 0 <= sparsity <= 1:
            raise ValueError(f"sparse needs a sparsity from 0 to 1, not {sparsity}")
        return cls(float(sparsity), float(std), Normal.of(0.0, std).f32, draw, stream)


@dataclass(frozen=True, slots=True)
class Materialized:
    """Source of bytes that a platform-bound generator made once and the host keeps.

    `shown` is the program they were drawn from, for people and expected statistics. `rules` fill a
    tied tensor one after the other if different rules win its names: one rule for each name that a
    rule wins.
    """

    type: ClassVar[str] = "materialized"
    shown: Program
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Opaque:
    """Source of values that a module's own code computes and no program expresses.

    It occurs only inside `Materialized`: a platform-bound generator runs that code.
    """

    type: ClassVar[str] = "opaque"


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a split: `size` slots along the axis, with their own program."""

    size: int
    program: Program


@dataclass(frozen=True, slots=True)
class Split:
    """Source of parts side by side along `axis`, each a tensor with its own element indices."""

    type: ClassVar[str] = "split"
    axis: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Norms:
    """Source of Euclidean norms of the rows (`axis` 0) or columns (1) of a matrix of `shape`.

    `of` is the matrix's program, whose draws name their streams. Weight normalization uses it: its
    magnitude is the norms of its direction.
    """

    type: ClassVar[str] = "norms"
    of: Program
    shape: tuple[int, ...]
    axis: int


Draw = Uniform | Normal | TruncNormal
Whole = Orthogonal | Sparse
"""Sources that are computed whole, not element by element."""
Source = Constant | Literal | Draw | Whole | Eye | Dirac | Materialized | Opaque | Split | Norms


def keyed(source: Source, stream: str | None) -> Source:
    """Return `source` with its draws taken from `stream` instead of the tensor's own name."""
    if stream is None or not isinstance(source, Draw | Whole):
        return source
    return replace(source, stream=stream)


# --- programs ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Program:
    """Source, then transforms in order, each in float32 with one rounding.

    In a float64 tensor, a source without draws is transformed in float64.
    """

    source: Source
    transforms: tuple[Transform, ...] = field(default=())

    @property
    def draws(self) -> bool:
        """True when any value is random."""
        if isinstance(self.source, Split):
            return any(part.program.draws for part in self.source.parts)
        return isinstance(self.source, Draw | Whole | Norms)


_TYPES: Mapping[str, Any] = {
    cls.type: cls
    for cls in (
        *(Constant, Literal, Uniform, Normal, TruncNormal, Eye, Dirac),
        *(Orthogonal, Sparse, Materialized, Opaque, Split, Norms),
        *(Scale, Add, Clamp, HardThreshold, ZeroRows, SetElement, FillRegion),
        *(Divide, Exp, Expm1, Log, Plus),
    )
}


def to_json(value: Any) -> Any:
    """Return the JSON form of a program, source, transform, part or scalar, without defaults.

    A program is its source's object, with a list `transforms` if it has any. Numbers that RFC 8785
    cannot hold (non-finite, negative zero, integers past 2^53) are strings; a complex number is
    `{"real": ..., "imag": ...}`.
    """
    if isinstance(value, Program):
        transforms = [to_json(transform) for transform in value.transforms]
        return to_json(value.source) | ({"transforms": transforms} if transforms else {})
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, complex):
        return {"real": to_json(value.real), "imag": to_json(value.imag)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, float) and (not math.isfinite(value) or str(value) == "-0.0"):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    body = {
        item.name: to_json(getattr(value, item.name))
        for item in fields(value)
        if getattr(value, item.name) != item.default
    }
    return body if isinstance(value, Part) else {"type": value.type, **body}


def program_from_json(document: Mapping[str, Any]) -> Program:
    """Return the program whose JSON form is `document`: the inverse of `to_json`."""
    body = dict(document)
    transforms = tuple(_from_json(transform) for transform in body.pop("transforms", ()))
    return Program(_from_json(body), transforms)


def _from_json(document: Mapping[str, Any]) -> Any:
    body = dict(document)
    cls = _TYPES[body.pop("type")]
    if cls is Split:
        parts = tuple(Part(p["size"], program_from_json(p["program"])) for p in body["parts"])
        return Split(body["axis"], parts)
    if cls is Materialized:
        return Materialized(program_from_json(body["shown"]), _value(body.get("rules", ())))
    if cls is Norms:
        return Norms(program_from_json(body["of"]), tuple(body["shape"]), body["axis"])
    if cls is Plus:
        return Plus(tuple(_from_json(transform) for transform in body["transforms"]))
    strings = {"stream", "sha256", "dtype"}
    return cls(**{k: v if k in strings else _value(v) for k, v in body.items()})


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    if isinstance(value, Mapping):
        return complex(_value(value["real"]), _value(value["imag"]))
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if type(value) is int and abs(value) >= 2**53:
        return float(value)  # long integers are strings: this number is a float in RFC 8785 form
    return value
