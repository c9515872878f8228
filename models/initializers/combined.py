"""Initializers made of others: sums of several, and copies of other tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from seedpoint.models.draws import Draw
from seedpoint.models.errors import SpecError
from seedpoint.models.initializers.base import ArgumentError, Initializer, Target
from seedpoint.models.initializers.captured import filled
from seedpoint.models.initializers.stacked import stacked
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Program, Source

if TYPE_CHECKING:
    from seedpoint.models.initializers import InitializerSpec

_SLICE = re.compile(r"(-?[0-9]{1,18})?:(-?[0-9]{1,18})?")


class Sum(Initializer):
    """Sum of several initializers, each with draws of its own: identity plus noise."""

    type: Literal["sum"]
    initializers: tuple[InitializerSpec, ...] = Field(
        min_length=1, max_length=64, description="Terms; their values are added in this order."
    )
    example: ClassVar[Mapping[str, Any]] = {
        "initializers": [{"type": "eye"}, {"type": "normal", "std": 0.01}]
    }

    def source(self, target: Target) -> Source:
        terms: list[Program] = []
        draws = 0
        for number, initializer in enumerate(self.initializers):
            try:
                source, draws = _numbered(stacked(initializer, target), draws)
            except ArgumentError as error:
                at = f"initializers.{number}.{error.argument}"
                raise ArgumentError(at, str(error), has_no_value=error.has_no_value) from None
            except SpecError:
                raise
            except ValueError as error:
                raise ArgumentError(f"initializers.{number}", str(error)) from None
            terms.append(Program(source))
        return program.Sum(tuple(terms))


def _numbered(source: Source, draws: int) -> tuple[Source, int]:
    """Return `source` with its draws numbered from `draws`, and the next free number."""
    match source:
        case Draw() | program.Orthogonal():
            return replace(source, draw=draws), draws + 1
        case program.Sparse():  # one for its values, one for its cuts
            return replace(source, draw=draws), draws + 2
        case program.Sum(terms=terms):
            renumbered = []
            for term in terms:
                inner, draws = _numbered(term.source, draws)
                renumbered.append(Program(inner))
            return program.Sum(tuple(renumbered)), draws
        case program.Split(parts=(part,)):  # a stack
            inner, draws = _numbered(part.program.source, draws)
            return replace(source, parts=(replace(part, program=Program(inner)),)), draws
        case _:
            return source, draws


class Copy(Initializer):
    """Values of another tensor, or of a part of it, as its own rule or init gives them."""

    type: Literal["copy"]
    of: StrictStr = Field(
        description="Name of the other tensor; captures are filled in: `h.{layer}.q_proj.weight`."
    )
    axis: StrictInt = Field(default=0, description="Axis of `index`.")
    index: StrictInt | StrictStr | None = Field(
        default=None,
        description='Part along the axis: a slice such as "0:64" or "64:", or one index, without '
        "the axis.",
    )
    transpose: bool = Field(
        default=False, strict=True, description="Swap the last two axes, after the index."
    )
    draws: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"of": "encoder.weight", "transpose": True}
    example_others: ClassVar[Mapping[str, Any]] = {
        "encoder.weight": ([8, 16], {"type": "arange", "axis": 0})
    }

    def source(self, target: Target) -> Source:
        try:
            name = filled(self.of, target.scope)
            other = target.other(name)
        except SpecError:  # a fault of the other tensor
            raise
        except ValueError as error:
            raise ArgumentError("of", str(error)) from None
        if other.dtype != target.dtype and not (
            other.dtype.is_floating and target.dtype.is_floating
        ):
            raise ArgumentError("of", f"'{name}' is {other.dtype}, but this is {target.dtype}")
        shape, strides, offset = self._view(other.shape)
        if shape != target.shape:
            raise ArgumentError("of", self._mismatch(name, shape, target.shape))
        return program.Copy(other.program, other.name, other.shape, strides, offset)

    def _view(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Return shape, strides and offset of the part that is copied."""
        axes = [(size, math.prod(shape[axis + 1 :])) for axis, size in enumerate(shape)]
        offset = 0
        if self.index is not None:
            if not -len(shape) <= self.axis < len(shape):
                raise ArgumentError("axis", f"axis {self.axis} is outside shape {list(shape)}")
            axis = self.axis % len(shape)
            size, stride = axes[axis]
            start, count = self._part(size)
            offset = start * stride
            axes[axis : axis + 1] = [] if count is None else [(count, stride)]
        if self.transpose:
            if len(axes) < 2:
                raise ArgumentError("transpose", "transpose needs at least two dimensions")
            axes[-1], axes[-2] = axes[-2], axes[-1]
        return tuple(size for size, _ in axes), tuple(stride for _, stride in axes), offset

    def _part(self, size: int) -> tuple[int, int | None]:
        """Return the start of the part, and its size; None for one index."""
        if isinstance(self.index, int):
            if not -size <= self.index < size:
                raise ArgumentError("index", f"index {self.index} is outside 0..{size - 1}")
            return self.index % size, None
        found = _SLICE.fullmatch(str(self.index).strip())
        if found is None:
            raise ArgumentError("index", f"{self.index!r} is not a slice; write '0:64', '64:' or 3")
        ends = (None if end is None else int(end) for end in found.groups())
        part = range(size)[slice(*ends)]
        return part.start, len(part)

    def _mismatch(self, name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
        message = f"the copy of '{name}' has shape {list(shape)}; this tensor's is {list(wanted)}"
        if not self.transpose and (*shape[:-2], *shape[:-3:-1]) == wanted:
            return f'{message}; add "transpose": true'
        return message
