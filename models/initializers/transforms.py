"""Transforms as callers write them, and their resolution against one tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, model_validator

from seedpoint.models.initializers.indices import Indices, Rows, boxes, is_plain, place
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Transform
from seedpoint.models.validation.numbers import Number, Schema

Resolve = Callable[[str, int | float | str], int | float]
Resolved = tuple[Transform, ...]


class Scale(Schema):
    """x * value."""

    type: Literal["scale"]
    value: Number

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        return (program.Scale(number("value", self.value)),)


class Add(Schema):
    """x + value."""

    type: Literal["add"]
    value: Number

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        return (program.Add(number("value", self.value)),)


class Clamp(Schema):
    """min(max(x, min), max); an omitted bound does not apply.

    With `index`, it applies to the elements that `set` would assign.
    """

    type: Literal["clamp"]
    min: Number | None = None
    max: Number | None = None
    index: tuple[Indices, ...] | None = Field(default=None, min_length=1, examples=[["128:256"]])

    @model_validator(mode="after")
    def _bounded(self) -> Clamp:
        if self.min is None and self.max is None:
            raise ValueError("clamp needs min, max or both")
        return self

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        low = None if self.min is None else number("min", self.min)
        high = None if self.max is None else number("max", self.max)
        if low is not None and high is not None and low > high:
            raise ValueError(f"clamp needs min <= max, not {low} > {high}")
        if self.index is None:
            return (program.Clamp(low, high),)
        found = boxes(self.index, shape, "index")
        return tuple(program.ClampRegion(box, low, high) for box in found)


class HardThreshold(Schema):
    """x where |x| >= value, else x * 0: zero with the sign of x."""

    type: Literal["hard_threshold"]
    value: Number

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        value = number("value", self.value)
        if value < 0:
            raise ValueError(f"hard_threshold needs value >= 0, not {value}")
        return (program.HardThreshold(value),)


class _Function(Schema):
    """Function of one number, without arguments."""

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        function: Transform = FUNCTIONS[self.type]  # type: ignore[attr-defined]
        return (function,)


class Exp(_Function):
    """e^x."""

    type: Literal["exp"]


class Log(_Function):
    """Natural logarithm of x, which must be above zero: below it is NaN."""

    type: Literal["log"]


class Sqrt(_Function):
    """Square root of x."""

    type: Literal["sqrt"]


class Neg(_Function):
    """-x."""

    type: Literal["neg"]


class Reciprocal(_Function):
    """1 / x."""

    type: Literal["reciprocal"]


class Softplus(_Function):
    """ln(1 + e^x)."""

    type: Literal["softplus"]


class InverseSoftplus(_Function):
    """Number whose softplus is x, which must be above zero: x + ln(1 - e^-x)."""

    type: Literal["inverse_softplus"]


FUNCTIONS: dict[str, Transform] = {
    "exp": program.Exp(),
    "log": program.Log(),
    "sqrt": program.Sqrt(),
    "neg": program.Scale(-1.0),
    "reciprocal": program.Reciprocal(),
    "softplus": program.Softplus(),
    "inverse_softplus": program.Plus(
        (program.Scale(-1.0), program.Expm1(), program.Scale(-1.0), program.Log())
    ),
}


class ZeroRows(Schema):
    """Rows set to zero, by their indices along axis 0, or along another `axis`.

    Indices are integers and slices (`"50:"`); a negative index counts from the end.
    """

    type: Literal["zero_rows"]
    rows: Rows = Field(examples=[[0], "50:"])
    axis: StrictInt = 0

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        if not shape:
            raise ValueError("zero_rows needs a tensor of at least one dimension")
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"axis {self.axis} is outside a tensor of {len(shape)} dimensions")
        axis = self.axis % len(shape)
        rows = self.rows if isinstance(self.rows, tuple) else (self.rows,)
        if axis == 0 and is_plain(rows):
            return (program.ZeroRows(tuple(sorted({place(row, shape[0], "row") for row in rows}))),)
        before, after = (":",) * axis, (":",) * (len(shape) - axis - 1)
        found = boxes((*before, rows, *after), shape, "row")
        return tuple(program.FillRegion(box, 0) for box in found)


class SetElement(Schema):
    """Elements set to `value`: one by its index along each axis, or many by slices and lists.

    `["128:256"]` sets half of a vector of 256 elements, `[":", [0, -1]]` the first and last columns
    of a matrix. Axes after the last one given are whole. In a drawn tensor, the value is rounded to
    float32 first, even if the dtype is float64, as every drawn value is. In any other tensor, it is
    as exact as the dtype.
    """

    type: Literal["set"]
    index: tuple[Indices, ...] = Field(examples=[[0, 0], ["128:256"]])
    value: Number

    def resolve(self, shape: tuple[int, ...], number: Resolve) -> Resolved:
        value = number("value", self.value)
        if not is_plain(self.index):
            found = boxes(self.index, shape, "index")
            return tuple(program.FillRegion(box, value) for box in found)
        if len(self.index) != len(shape):
            raise ValueError(
                f"index has {len(self.index)} numbers for a tensor of shape {shape}; "
                'for all elements along an axis, write ":"'
            )
        axes = zip(self.index, shape, strict=True)
        index = tuple(place(i, size, f"index at axis {k}") for k, (i, size) in enumerate(axes))
        return (program.SetElement(index, value),)


TransformSpec = Annotated[
    Scale
    | Add
    | Clamp
    | HardThreshold
    | Exp
    | Log
    | Sqrt
    | Neg
    | Reciprocal
    | Softplus
    | InverseSoftplus
    | ZeroRows
    | SetElement,
    Field(discriminator="type"),
]

EXACT = (ZeroRows, SetElement)
"""Transforms that integer and complex tensors can also take."""


def catalogue() -> list[dict[str, Any]]:
    """Return an entry for every transform, with its JSON Schema and a working example and spec.

    The keys are `type`, `summary`, `schema`, `example` and `spec`.
    """
    return [
        {
            "type": example["type"],
            "summary": inspect.cleandoc(cls.__doc__ or ""),
            "schema": cls.model_json_schema(),
            "example": example,
            "spec": _spec(example),
        }
        for cls, example in (
            (Scale, {"type": "scale", "value": 0.5}),
            (Add, {"type": "add", "value": 1}),
            (Clamp, {"type": "clamp", "min": -2, "max": 2}),
            (HardThreshold, {"type": "hard_threshold", "value": 5}),
            (Exp, {"type": "exp"}),
            (Log, {"type": "log"}),
            (Sqrt, {"type": "sqrt"}),
            (Neg, {"type": "neg"}),
            (Reciprocal, {"type": "reciprocal"}),
            (Softplus, {"type": "softplus"}),
            (InverseSoftplus, {"type": "inverse_softplus"}),
            (ZeroRows, {"type": "zero_rows", "rows": [0]}),
            (SetElement, {"type": "set", "index": [0, 0], "value": 100}),
        )
    ]


def _spec(transform: dict[str, Any]) -> dict[str, Any]:
    """Return a complete spec with one transform of a layer's weight, after its own init."""
    rule = {"match": {"name": "weight"}, "initializer": {"type": "own"}, "transforms": [transform]}
    layer = {"type": "Linear", "in_features": 3, "out_features": 4}
    return {"architecture": layer, "init": {"seed": 42, "rules": [rule]}}
