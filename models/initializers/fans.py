"""fan_in and fan_out of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr, Tag, model_validator

from seedpoint.models.architectures.shapes import Layout
from seedpoint.models.validation.numbers import Schema, tagged

LEAST_COLUMNS = 32  # of a matrix that is no kernel of a one-dimensional convolution
Shape = tuple[int, ...]
Axes = tuple[StrictInt, ...]
Groups = Annotated[
    Annotated[int, Field(ge=1, strict=True), Tag("<number>")]
    | Annotated[Literal["module"], Tag("<module>")],
    tagged("<number>", "<module>", str),
]


@dataclass(frozen=True, slots=True)
class Fans:
    """Connections into and out of one unit of a weight."""

    fan_in: float
    fan_out: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts beside a tensor's shape that decide its fans.

    `layout` says whether its outputs come first, as in PyTorch, or last, as in Flax and Keras.
    `groups` are those of its module, None if the module has none. `sibling` returns the shape of
    another tensor of the module, by its local name.
    """

    layout: Layout = "out_in"
    groups: int | None = None
    sibling: Callable[[str], Shape] | None = None

    def shape_of(self, sibling: str) -> Shape | None:
        """Return the shape of a sibling; None if there is none."""
        try:
            return None if self.sibling is None else self.sibling(sibling)
        except ValueError:
            return None


class FanSpec(Schema):
    """Axes of a weight that count as inputs, as outputs, and as a stack of separate weights.

    The other axes are the receptive field and multiply both fans. Without `in_axes` and `out_axes`,
    both are the layout's: axis 1 and axis 0 in PyTorch. `groups` divides the fan whose axes include
    axis 0, along which PyTorch stacks the groups of a convolution.
    """

    in_axes: Axes | None = Field(default=None, min_length=1, examples=[[0]])
    out_axes: Axes | None = Field(default=None, min_length=1, examples=[[1]])
    batch_axes: Axes = Field(
        default=(),
        description="Axes along which separate weights are stacked, as those of experts: they "
        "count in neither fan, and orthogonal, sparse, eye and dirac fill each weight separately.",
        examples=[[0]],
    )
    groups: Groups = Field(
        default=1, description='Groups of a convolution; "module" takes each module\'s own number.'
    )
    of: StrictStr | None = Field(
        default=None,
        description="Another tensor of the same module, whose fans are taken: a bias with "
        "PyTorch's own rule takes those of `weight`.",
        examples=["weight"],
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> FanSpec:
        if (self.in_axes is None) != (self.out_axes is None):
            raise ValueError("expected in_axes and out_axes, or neither")
        return self

    def fans(self, shape: Shape, around: Surroundings) -> Fans | None:
        """Return the fans of a tensor of `shape`; None if they are the default and it has none.

        Raises:
            ValueError: For an axis outside `shape` or in two lists, for groups that do not fit, and
                for a sibling that does not exist.
        """
        if self.of is not None:
            if around.sibling is None:
                raise ValueError(f"there is no {self.of!r} beside it")
            shape = around.sibling(self.of)
        rest = [axis for axis in range(len(shape)) if axis not in self.batch(shape)]
        if self.in_axes is None or self.out_axes is None:
            if len(rest) < 2:
                return None
            ins, outs = ({rest[axis]} for axis in _default_axes(around.layout))
        else:
            ins, outs = _places(self.in_axes, shape), _places(self.out_axes, shape)
        for one, other, kinds in (
            (ins, outs, "an in_axis and an out_axis"),
            (ins | outs, self.batch(shape), "a batch_axis and an in_axis or out_axis"),
        ):
            if one & other:
                raise ValueError(f"axis {min(one & other)} is both {kinds}")
        field = math.prod(shape[axis] for axis in rest if axis not in ins | outs)
        fan_in = field * math.prod(shape[axis] for axis in ins)
        fan_out = field * math.prod(shape[axis] for axis in outs)
        groups = self._groups(around)
        if groups > 1 and 0 not in ins | outs:
            raise ValueError("groups needs axis 0 among in_axes or out_axes")
        if 0 in ins:
            return Fans(_divided(fan_in, groups), fan_out)
        return Fans(fan_in, _divided(fan_out, groups))

    def may_be_stacked(self, shape: Shape, around: Surroundings) -> bool:
        """Return whether axis 0 counts as receptive field where it may be a stack of weights.

        Kernels have their field there in the layout of Flax: last axes (in, out) of four or more.
        """
        if self.in_axes is None or self.out_axes is None or self.of is not None:
            return False
        ins, outs = _places(self.in_axes, shape), _places(self.out_axes, shape)
        ndim = len(shape)
        is_kernel = around.layout == "in_out" or around.groups is not None
        is_kernel |= ndim > 3 and (ins, outs) == ({ndim - 2}, {ndim - 1})
        return ndim > 2 and not is_kernel and 0 not in ins | outs | self.batch(shape)

    def batch(self, shape: Shape) -> set[int]:
        """Return the batch axes of `shape`, none of them negative."""
        return _places(self.batch_axes, shape)

    def _groups(self, around: Surroundings) -> int:
        if self.groups == "module":
            return around.groups or 1
        if self.groups > 1 and around.groups not in (None, self.groups):
            raise ValueError(
                f"groups {self.groups} contradicts its module, which has {around.groups}; "
                'write "groups": "module"'
            )
        return self.groups


def looks_stacked(shape: Shape, around: Surroundings) -> bool:
    """Return whether a tensor of three axes looks like a stack of matrices, and no convolution.

    The module of a convolution has groups, and few kernels are as wide as a matrix.
    """
    is_kernel = around.layout == "in_out" or around.groups is not None
    return len(shape) == 3 and not is_kernel and shape[0] > 1 and shape[2] >= LEAST_COLUMNS


def default_fans(shape: Shape, layout: Layout = "out_in") -> Fans | None:
    """Return shape[1] and shape[0] times the rest: PyTorch's `_calculate_fan_in_and_fan_out`.

    Under the layout `in_out` they are shape[-2] and shape[-1] times the rest. The result is None
    below two dimensions, where PyTorch defines no fans.
    """
    if len(shape) < 2:
        return None
    in_axis, out_axis = _default_axes(layout)
    field = math.prod(shape[2:] if layout == "out_in" else shape[:-2])
    return Fans(shape[in_axis] * field, shape[out_axis] * field)


def _default_axes(layout: Layout) -> tuple[int, int]:
    return (1, 0) if layout == "out_in" else (-2, -1)


def _places(axes: Axes, shape: Shape) -> set[int]:
    ndim = len(shape)
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ValueError(f"axis {axis} is outside a tensor of {ndim} dimensions")
    return {axis % ndim for axis in axes}


def _divided(fan: int, groups: int) -> int:
    if fan % groups:
        raise ValueError(f"groups {groups} does not divide the fan {fan}")
    return fan // groups
