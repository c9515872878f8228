"""Initializers whose elements are functions of their position: ranges, tables, triangles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from seedpoint.models import formulas
from seedpoint.models.formulas.formula import Formula
from seedpoint.models.formulas.map import FUNCTIONS, INDICES, MAX_POWER
from seedpoint.models.initializers.base import ArgumentError, Initializer, Target
from seedpoint.models.plan.program import Source
from seedpoint.models.validation import expressions
from seedpoint.models.validation.numbers import Number

CHECKED_ELEMENTS = 1 << 16  # of a map, whose first values must be finite

CALLED = frozenset(FUNCTIONS) - {"neg"} | {"max", "min"}
"""Functions that a map's expression may call."""

_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


class _Positional(Initializer):
    """Initializer that is a formula."""

    draws: ClassVar[bool] = False

    def formula(self, target: Target) -> Formula:
        """Return the formula with its arguments resolved."""
        raise NotImplementedError

    def source(self, target: Target) -> Source:
        if target.dtype.torch.is_complex:
            raise ValueError(f"{self.type} cannot fill a {target.dtype} tensor")  # type: ignore[attr-defined]
        formula = self.formula(target)
        formula.check(target.shape, floating=target.dtype.is_floating)
        return formula


class Arange(_Positional):
    """Evenly spaced numbers: start + step * index along an axis, by default the last."""

    type: Literal["arange"]
    start: Number = 0
    step: Number = 1
    axis: StrictInt = -1

    def formula(self, target: Target) -> Formula:
        start, step = target.exact("start", self.start), target.exact("step", self.step)
        return formulas.Arange(start, step, self.axis)


class Linspace(_Positional):
    """Evenly spaced numbers from `start` to `end`, both included, along an axis."""

    type: Literal["linspace"]
    start: Number
    end: Number
    axis: StrictInt = -1
    example: ClassVar[Mapping[str, Any]] = {"start": 0, "end": 1}

    def formula(self, target: Target) -> Formula:
        start, end = target.number("start", self.start), target.number("end", self.end)
        return formulas.Linspace(start, end, self.axis)


class Sinusoidal(_Positional):
    """Position table of the Transformer: sines and cosines of position / base^(2k/d)."""

    type: Literal["sinusoidal"]
    base: Number = 10000
    layout: Literal["interleaved", "halves"] = Field(
        default="interleaved",
        description="`interleaved` has sines in even columns and cosines in odd ones; `halves` "
        "has all sines before all cosines.",
    )
    paper: ClassVar[str | None] = "https://arxiv.org/abs/1706.03762"

    def formula(self, target: Target) -> Formula:
        return formulas.Sinusoidal(target.number("base", self.base), self.layout)


class InvFreq(_Positional):
    """Inverse frequencies of rotary embeddings: base^(-2k/dim) at index k."""

    type: Literal["inv_freq"]
    base: Number = 10000
    dim: StrictInt | None = Field(
        default=None, ge=1, description="Size of the rotated heads; twice the tensor's by default."
    )
    paper: ClassVar[str | None] = "https://arxiv.org/abs/2104.09864"
    example_shape = (16,)

    def formula(self, target: Target) -> Formula:
        return formulas.InvFreq(target.number("base", self.base), self.dim)


class Tril(_Positional):
    """`val` on and below a diagonal of the last two axes, `outside` above it."""

    type: Literal["tril"]
    diagonal: StrictInt = 0
    val: Number = 1
    outside: Number = 0

    def formula(self, target: Target) -> Formula:
        val, outside = target.value("val", self.val), target.value("outside", self.outside)
        return formulas.Tril(val, outside, self.diagonal)


class Triu(_Positional):
    """`val` on and above a diagonal of the last two axes, `outside` below it."""

    type: Literal["triu"]
    diagonal: StrictInt = 0
    val: Number = 1
    outside: Number = 0

    def formula(self, target: Target) -> Formula:
        val, outside = target.value("val", self.val), target.value("outside", self.outside)
        return formulas.Triu(val, outside, self.diagonal)


class Bilinear(_Positional):
    """Linear interpolation of a transposed convolution that upsamples each channel by itself."""

    type: Literal["bilinear"]
    groups: int = Field(default=1, ge=1, strict=True)
    paper: ClassVar[str | None] = "https://arxiv.org/abs/1411.4038"
    example_shape = (3, 3, 4, 4)

    def formula(self, target: Target) -> Formula:
        if target.layout != "out_in":
            raise ValueError(f"bilinear fills kernels of layout out_in, not {target.layout}")
        return formulas.Bilinear(self.groups)


def _parsed(text: str) -> str:
    expressions.parse(text, CALLED)
    return text


class Map(_Positional):
    """Expression over an element's indices, by exact functions.

    `i` is the row-major index, `row` and `col` are the indices along the last two axes. The
    functions are abs, ceil, cos, exp, expm1, floor, log, max, min, sin, softplus and sqrt.
    """

    type: Literal["map"]
    expression: Annotated[StrictStr, AfterValidator(_parsed)]
    example: ClassVar[Mapping[str, Any]] = {"expression": "log(col + 1)"}

    def formula(self, target: Target) -> Formula:
        tree = expressions.parse(self.expression, CALLED)
        try:
            formula = formulas.Map(" ".join(_postfix(tree, target.scope)))
            formula.check(target.shape, floating=target.dtype.is_floating)
        except expressions.ExpressionError as error:
            raise ArgumentError("expression", str(error)) from None
        _check_finite(formula, target)
        return formula


def _check_finite(formula: Formula, target: Target) -> None:
    numel = 1
    for size in target.shape:
        numel *= size
    values = formula.values(0, min(numel, CHECKED_ELEMENTS), target.shape)
    for place in (~values.isfinite()).nonzero()[:1].flatten().tolist():
        raise ArgumentError(
            "expression", f"the expression is {values[place].item()} at element {place}"
        )


def _postfix(node: ast.expr, scope: Mapping[str, float | None]) -> Iterator[str]:
    """Yield the words of an expression in postfix form, names of `scope` as their numbers."""
    match node:
        case ast.Constant(value=int() | float() as number):
            yield repr(float(number))
        case ast.Name(id=name) if name in INDICES and name not in scope:
            yield name
        case ast.Name(id=name):
            value = expressions.evaluate(name, {**dict.fromkeys(INDICES), **scope})
            yield repr(float(value))
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)) if (
            power <= MAX_POWER
        ):
            yield from _postfix(left, scope)
            yield f"^{power}"
        case ast.BinOp(left=left, op=operator, right=right):
            yield from _postfix(left, scope)
            yield from _postfix(right, scope)
            yield _OPERATORS[type(operator)]
        case ast.UnaryOp(op=unary, operand=operand):
            yield from _postfix(operand, scope)
            if isinstance(unary, ast.USub):
                yield "neg"
        case ast.Call(func=ast.Name(id=name), args=[first, *others]):
            yield from _postfix(first, scope)
            if name not in ("max", "min"):
                if others:
                    raise expressions.ExpressionError(f"{name} takes one number")
                yield name
            for other in others:
                yield from _postfix(other, scope)
                yield name


Positional = Arange | Linspace | Sinusoidal | InvFreq | Tril | Triu | Bilinear | Map
