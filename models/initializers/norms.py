"""Norms of another tensor, such as the magnitudes of weight normalization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from seedpoint.models.errors import SpecError
from seedpoint.models.initializers.base import ArgumentError, Initializer, Target
from seedpoint.models.initializers.captured import filled
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Program, Source


class Norms(Initializer):
    """Euclidean norms of another tensor along all axes but `dim`, as its own rule or init gives it.

    Weight normalization starts with them: `parametrizations.weight.original0` holds the norms of
    `original1`.
    """

    type: Literal["norms"]
    of: StrictStr = Field(
        description="Name of the other tensor; captures are filled in: "
        "`h.{layer}.proj.parametrizations.weight.original1`."
    )
    dim: StrictInt = Field(
        default=0, description="Axis of the other tensor that stays: the first or the last."
    )
    paper: ClassVar[str | None] = "https://arxiv.org/abs/1602.07868"
    draws: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"of": "direction"}
    example_shape: ClassVar[tuple[int, ...]] = (8, 1)
    example_others: ClassVar[Mapping[str, Any]] = {
        "direction": ([8, 16], {"type": "arange", "axis": 0})
    }

    def source(self, target: Target) -> Source:
        try:
            name = filled(self.of, target.scope)
            other = target.other(name)
        except SpecError:  # a fault of the other tensor
            raise
        except ValueError as error:
            raise ArgumentError("of", str(error)) from None
        ndim = len(other.shape)
        if not (other.dtype.is_floating and target.dtype.is_floating):
            raise ArgumentError("of", f"norms need floating tensors, not {other.dtype}")
        if not ndim or not -ndim <= self.dim < ndim or self.dim % ndim not in (0, ndim - 1):
            raise ArgumentError(
                "dim", f"axis {self.dim} is neither the first nor the last of {list(other.shape)}"
            )
        dim = self.dim % ndim
        kept = other.shape[dim]
        shape = tuple(kept if axis == dim else 1 for axis in range(ndim))
        if target.shape not in (shape, (kept,)):
            raise ArgumentError(
                "of",
                f"the norms of '{name}' have shape {list(shape)}; this tensor's is "
                f"{list(target.shape)}",
            )
        rest = math.prod(other.shape) // kept if kept else 1
        axis = int(dim > 0)
        matrix = (rest, kept) if axis else (kept, rest)
        copied = program.Copy(other.program, other.name, other.shape, (matrix[1], 1), 0)
        return program.Norms(Program(copied), matrix, axis)
