"""Initializers that depend only on the tensor's shape and dtype: constants and whole tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field

from seedpoint.models.initializers.base import (
    ArgumentError,
    GainSpec,
    Initializer,
    Target,
    resolve_gain,
)
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Source
from seedpoint.models.validation.numbers import Number


class Constant(Initializer):
    """The same value in every element: a number, or "Infinity" or "-Infinity"."""

    type: Literal["constant"]
    val: Number = Field(validation_alias=AliasChoices("val", "value"))
    draws: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"val": 0.5}

    def source(self, target: Target) -> Source:
        value, dtype = target.value("val", self.val), target.dtype
        inexact = dtype.is_floating or dtype.torch.is_complex
        return program.Constant(value if inexact else int(value))


class Ones(Initializer):
    """One in every element."""

    type: Literal["ones"]
    draws: ClassVar[bool] = False

    def source(self, target: Target) -> Source:
        return program.Constant(1.0)


class Zeros(Initializer):
    """Zero in every element."""

    type: Literal["zeros"]
    draws: ClassVar[bool] = False

    def source(self, target: Target) -> Source:
        return program.Constant(0.0)


class Eye(Initializer):
    """Identity matrix: ones on the diagonal, zeros elsewhere."""

    type: Literal["eye"]
    draws: ClassVar[bool] = False
    of_matrix: ClassVar[bool] = True

    def source(self, target: Target) -> Source:
        if len(target.shape) != 2:
            raise ValueError(
                f"eye needs two dimensions, not a tensor of shape {list(target.shape)}"
            )
        return program.Eye()


class Dirac(Initializer):
    """Dirac delta: a convolution that passes its inputs through, in each group."""

    type: Literal["dirac"]
    groups: int = Field(default=1, ge=1, strict=True)
    draws: ClassVar[bool] = False
    example_shape = (8, 4, 3)
    of_matrix: ClassVar[bool] = True

    def source(self, target: Target) -> Source:
        if len(target.shape) not in (3, 4, 5):
            raise ValueError(
                f"dirac needs three, four or five dimensions, not shape {list(target.shape)}"
            )
        if target.layout != "out_in":
            raise ValueError(f"dirac fills kernels of layout out_in, not {target.layout}")
        if target.shape[0] % self.groups:
            raise ArgumentError("groups", f"groups must divide {target.shape[0]}, the first size")
        return program.Dirac(self.groups)


class Orthogonal(Initializer):
    """(Semi-)orthogonal matrix from the QR decomposition of a normal matrix, times gain."""

    type: Literal["orthogonal"]
    gain: GainSpec = 1.0
    paper: ClassVar[str | None] = "https://arxiv.org/abs/1312.6120"
    of_matrix: ClassVar[bool] = True

    def source(self, target: Target) -> Source:
        if len(target.shape) < 2:
            raise ValueError(
                f"orthogonal needs at least two dimensions, not shape {list(target.shape)}"
            )
        source = program.Orthogonal(resolve_gain(self.gain, target))
        plain = target.layout == "out_in" or len(target.shape) == 2
        return source if plain else replace(source, layout=target.layout)


class Sparse(Initializer):
    """Normal matrix in which a fraction `sparsity` of each column is zero."""

    type: Literal["sparse"]
    sparsity: Number
    std: Number = 0.01
    example: ClassVar[Mapping[str, Any]] = {"sparsity": 0.5}
    paper: ClassVar[str | None] = "https://dl.acm.org/doi/10.5555/3104322.3104416"
    of_matrix: ClassVar[bool] = True

    def source(self, target: Target) -> Source:
        if len(target.shape) != 2:
            raise ValueError(f"sparse needs two dimensions, not shape {list(target.shape)}")
        sparsity, std = target.number("sparsity", self.sparsity), target.number("std", self.std)
        if not 0 <= sparsity <= 1:
            raise ArgumentError("sparsity", f"sparsity must be between 0 and 1, not {sparsity}")
        if std < 0:
            raise ArgumentError("std", f"std must be >= 0, not {std}")
        return program.Sparse.of(sparsity, std)
