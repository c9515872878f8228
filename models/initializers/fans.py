"""fan_in and fan_out of a tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field, StrictInt

from seedpoint.models.validation.numbers import Schema


@dataclass(frozen=True, slots=True)
class Fans:
    """Connections into and out of one unit of a weight."""

    fan_in: float
    fan_out: float


class FanSpec(Schema):
    """Axes of a weight that count as inputs, and axes that count as outputs.

    Axes in neither list are the receptive field and multiply both fans. `groups` divides the fan
    whose axes include axis 0, along which PyTorch stacks the groups of a convolution.
    """

    in_axes: tuple[StrictInt, ...] = Field(min_length=1, examples=[[0]])
    out_axes: tuple[StrictInt, ...] = Field(min_length=1, examples=[[1]])
    groups: int = Field(default=1, ge=1, strict=True)

    def of(self, shape: tuple[int, ...]) -> Fans:
        """Return the fans of `shape`.

        Raises:
            ValueError: For an axis outside `shape` or in both lists, and for groups that do not
                fit.
        """
        ndim = len(shape)
        wrong = [axis for axis in (*self.in_axes, *self.out_axes) if not -ndim <= axis < ndim]
        if wrong:
            raise ValueError(f"axis {wrong[0]} is outside a tensor of {ndim} dimensions")
        ins, outs = ({axis % ndim for axis in axes} for axes in (self.in_axes, self.out_axes))
        if ins & outs:
            raise ValueError(f"axis {min(ins & outs)} is both an in_axis and an out_axis")
        field = math.prod(shape[axis] for axis in range(ndim) if axis not in ins | outs)
        fan_in = field * math.prod(shape[axis] for axis in ins)
        fan_out = field * math.prod(shape[axis] for axis in outs)
        if self.groups > 1 and 0 not in ins | outs:
            raise ValueError("groups needs axis 0 among in_axes or out_axes")
        if 0 in ins:
            return Fans(_divided(fan_in, self.groups), fan_out)
        return Fans(fan_in, _divided(fan_out, self.groups))


def default_fans(shape: tuple[int, ...]) -> Fans | None:
    """Return shape[1] and shape[0] times the rest: PyTorch's `_calculate_fan_in_and_fan_out`.

    The result is None below two dimensions, where PyTorch defines no fans.
    """
    if len(shape) < 2:
        return None
    field = math.prod(shape[2:])
    return Fans(shape[1] * field, shape[0] * field)


def _divided(fan: int, groups: int) -> int:
    if fan % groups:
        raise ValueError(f"groups {groups} does not divide the fan {fan}")
    return fan // groups
