"""Programs: a tensor's values as a source followed by transforms.

A program is a frozen value with an exact JSON form (`program_json`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import ClassVar

from seedpoint.models.draws import Draw, Normal
from seedpoint.models.formulas import Formula
from seedpoint.models.plan.blob import Blob
from seedpoint.models.plan.transforms import (
    Add,
    Clamp,
    ClampRegion,
    Divide,
    Exp,
    Expm1,
    FillRegion,
    Function,
    HardThreshold,
    Log,
    Plus,
    Pointwise,
    Reciprocal,
    Scale,
    SetElement,
    Softplus,
    Sqrt,
    Transform,
    ZeroRows,
)

__all__ = [
    "Add",
    "Base",
    "Blob",
    "Clamp",
    "ClampRegion",
    "Constant",
    "Copy",
    "Dirac",
    "Divide",
    "Exp",
    "Expm1",
    "Eye",
    "FillRegion",
    "Formula",
    "Function",
    "HardThreshold",
    "Literal",
    "Log",
    "Materialized",
    "Norms",
    "Opaque",
    "Orthogonal",
    "Part",
    "Plus",
    "Pointwise",
    "Program",
    "Reciprocal",
    "Scalar",
    "Scale",
    "SetElement",
    "SingularVector",
    "Softplus",
    "Source",
    "Sparse",
    "Split",
    "Sqrt",
    "Sum",
    "Transform",
    "Whole",
    "ZeroRows",
    "keyed",
]

Scalar = bool | int | float | complex


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
    """Whole-tensor source `orthogonal(gain)` of the stream, on the matrix rows x (rest).

    Under `layout` `in_out`, the matrix is (rest) x columns: the last axis is a side of its own.
    """

    type: ClassVar[str] = "orthogonal"
    gain: float
    draw: int = 0
    stream: str | None = None
    layout: str = "out_in"

    def matrix(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the matrix that fills a tensor of `shape`, in the same order."""
        if self.layout == "out_in":
            return shape
        return (math.prod(shape[:-1]), shape[-1])


@dataclass(frozen=True, slots=True)
class Sparse:
    """Whole-tensor source `sparse(sparsity, std)`: draws `draw` and `draw + 1` of a matrix.

    `f32` is (f32(std), 0), the constants of its normal values.
    """

    type: ClassVar[str] = "sparse"
    constants: ClassVar[int] = 2
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
class Base:
    """Source of a part that keeps the elements of the split's `base` at the same places."""

    type: ClassVar[str] = "base"


@dataclass(frozen=True)
class Split:
    """Source of parts side by side along `axis`, each a tensor with its own element indices.

    The list of `parts` is repeated `repeat` times. With `squeeze`, parts have size 1 and lack the
    axis: a stack of matrices. `base` is the program of the whole tensor, of which some parts keep
    their elements (`Base`). Part k draws from the stream `name#k`, where the name is `stream`, or
    else the tensor's own.
    """

    type: ClassVar[str] = "split"
    axis: int
    parts: tuple[Part, ...]
    repeat: int = 1
    squeeze: bool = False
    base: Program | None = None
    stream: str | None = None

    @property
    def count(self) -> int:
        """Number of parts, repetitions included."""
        return len(self.parts) * self.repeat

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """End of each part along the axis, in the first repetition."""
        return tuple(accumulate(part.size for part in self.parts))

    def shape_of(self, part: Part, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a part of a tensor of `shape`."""
        sizes = () if self.squeeze else (part.size,)
        return (*shape[: self.axis], *sizes, *shape[self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class Norms:
    """Source of Euclidean norms of the rows (`axis` 0) or columns (1) of a matrix.

    `of` is the matrix's program on a tensor of `shape`, whose axes after the first are the columns;
    its draws name their streams. Weight normalization uses it: its magnitude is the norms of its
    direction.
    """

    type: ClassVar[str] = "norms"
    of: Program
    shape: tuple[int, ...]
    axis: int

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.shape[0], math.prod(self.shape[1:])


@dataclass(frozen=True, slots=True)
class Sum:
    """Source of the sum of `terms`, from left to right, one rounding each.

    The terms fill tensors of the same shape; their draws have numbers of their own.
    """

    type: ClassVar[str] = "sum"
    terms: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """Source of elements of the tensor `name`, of `shape`, whose program is `of`.

    The element at indices k is its row-major element `offset` + the sum of k * `strides`.
    """

    type: ClassVar[str] = "copy"
    of: Program
    name: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SingularVector:
    """Source of a left (`axis` 0) or right (1) singular vector of a matrix, as that of `Norms`.

    It is the vector after `iterations` of the power method from the right vector `start`, both
    programs' draws naming their streams. Spectral normalization keeps such a pair.
    """

    type: ClassVar[str] = "singular_vector"
    of: Program
    shape: tuple[int, ...]
    start: Program
    iterations: int
    eps: float
    axis: int

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.shape[0], math.prod(self.shape[1:])


Whole = Orthogonal | Sparse
"""Sources that are computed whole, not element by element."""
Source = (
    Constant
    | Literal
    | Blob
    | Draw
    | Whole
    | Eye
    | Dirac
    | Formula
    | Materialized
    | Opaque
    | Split
    | Base
    | Norms
    | SingularVector
    | Sum
    | Copy
)


def keyed(source: Source, stream: str | None) -> Source:
    """Return `source` with its draws taken from `stream` instead of the tensor's own name."""
    if stream is not None and isinstance(source, Sum):
        terms = (replace(term, source=keyed(term.source, stream)) for term in source.terms)
        return Sum(tuple(terms))
    if stream is None or not isinstance(source, Draw | Whole | Split):
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
            base = self.source.base
            return (base is not None and base.draws) or any(
                part.program.draws for part in self.source.parts
            )
        if isinstance(self.source, Sum):
            return any(term.draws for term in self.source.terms)
        if isinstance(self.source, Copy):
            return self.source.of.draws
        return isinstance(self.source, Draw | Whole | Norms | SingularVector)
