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
    """Euclidean norms of another tensor over all axes but `dim`, as its own rule or init gives it.

    Weight normalization starts with them: `parametrizations.weight.original0` holds the norms of
    `original1`.
    """

    type: Literal["norms"]
    of: StrictStr = Field(
        description="Name of the other tensor; captures are filled in: "
        "`h.{layer}.proj.parametrizations.weight.original1`."
    )
    dim: StrictInt | None = Field(
        default=0, description="Axis of the other tensor that stays; null for one norm of all."
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
        if not (other.dtype.is_floating and target.dtype.is_floating):
            raise ArgumentError("of", f"norms need floating tensors, not {other.dtype}")
        shape, kept = self._kept(other.shape)
        if target.shape not in (shape, (kept,)):
            raise ArgumentError(
                "of",
                f"the norms of '{name}' have shape {list(shape)}; this tensor's is "
                f"{list(target.shape)}",
            )
        matrix, strides, axis = self._matrix(other.shape)
        copied = program.Copy(other.program, other.name, other.shape, strides, 0)
        return program.Norms(Program(copied), matrix, axis)

    def _kept(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """Return the shape of the norms, and their number."""
        if self.dim is None:
            return (), 1
        ndim = len(shape)
        if not -ndim <= self.dim < ndim:
            raise ArgumentError("dim", f"axis {self.dim} is outside shape {list(shape)}")
        kept = shape[self.dim]
        return tuple(kept if axis == self.dim % ndim else 1 for axis in range(ndim)), kept

    def _matrix(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Return shape and strides of the matrix whose norms these are, and the axis that stays."""
        dim = None if self.dim is None else self.dim % len(shape)
        kept = 1 if dim is None else shape[dim]
        rest = math.prod(shape) // kept if kept else 1
        if dim is None or dim == 0:
            return (kept, rest), (rest, 1), 0
        if dim == len(shape) - 1:
            return (rest, kept), (kept, 1), 1
        order = (dim, *(axis for axis in range(len(shape)) if axis != dim))
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in order)
        return tuple(shape[axis] for axis in order), strides, 0
