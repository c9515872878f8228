"""Arithmetic over an element's indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seedpoint.models.formulas import pointwise
from seedpoint.models.formulas.formula import Formula, Shape, along, require

MAX_LENGTH = 4000  # characters of an expression in postfix form
MAX_POWER = 64  # largest whole exponent, which is that many factors

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "ceil": torch.ceil,
    "floor": torch.floor,
    "exp": pointwise.exp,
    "expm1": pointwise.expm1,
    "log": pointwise.log,
    "sqrt": pointwise.sqrt,
    "softplus": pointwise.softplus,
    "sin": pointwise.sin,
    "cos": pointwise.cos,
}
"""Functions of one number."""


def _remainder(x: Tensor, y: Tensor) -> Tensor:
    return x - torch.floor(x / y) * y


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "//": lambda x, y: torch.floor(x / y),
    "%": _remainder,
    "**": lambda x, y: pointwise.exp(y * pointwise.log(x)),
    "max": torch.maximum,
    "min": torch.minimum,
}
"""Operations on two numbers."""

INDICES = ("i", "row", "col")
"""Row-major index, and the indices along the last two axes."""


@dataclass(frozen=True, slots=True)
class Map(Formula):
    """Value of an expression at each element, in binary64 with one rounding for each operation.

    `expression` is in postfix form, its words separated by spaces: numbers, `INDICES`, `FUNCTIONS`,
    `OPERATIONS`, and `^3` for the third power, which is a product of three factors.
    """

    expression: str

    type: ClassVar[str] = "map"

    def check(self, shape: Shape, *, floating: bool) -> None:
        require(floating, "map needs a floating tensor; arange counts in integers")
        require(
            isinstance(self.expression, str) and len(self.expression) <= MAX_LENGTH,
            f"the expression is longer than {MAX_LENGTH} characters",
        )
        depth = 0
        for word in self.expression.split():
            takes = _operands(word)
            require(depth >= takes, "the expression lacks an operand")
            depth += 1 - takes
        require(depth == 1, "the expression is not one value")

    def at(self, index: Tensor, shape: Shape) -> Tensor:
        stack: list[Tensor] = []
        for word in self.expression.split():
            if word in OPERATIONS:
                second = stack.pop()
                stack.append(OPERATIONS[word](stack.pop(), second))
            elif word in FUNCTIONS:
                stack.append(FUNCTIONS[word](stack.pop()))
            elif word in INDICES:
                stack.append(_index(word, index, shape).to(torch.float64))
            elif word.startswith("^"):
                stack.append(_power(stack.pop(), int(word[1:])))
            else:
                number = torch.tensor(float(word), dtype=torch.float64, device=index.device)
                stack.append(number)
        return stack[0].expand(len(index))


def _operands(word: str) -> int:
    """Return how many values a word takes.

    Raises:
        ValueError: It is not a word of an expression.
    """
    if word in OPERATIONS:
        return 2
    if word in FUNCTIONS:
        return 1
    if word in INDICES:
        return 0
    if word.startswith("^"):
        power = word[1:]
        require(power.isascii() and power.isdigit() and int(power[:9]) <= MAX_POWER, "bad power")
        return 1
    require(math.isfinite(float(word)), f"{word} is not a finite number")
    return 0


def _index(name: str, index: Tensor, shape: Shape) -> Tensor:
    if name == "i":
        return index
    if name == "col":
        return along(index, shape, -1) if shape else torch.zeros_like(index)
    return along(index, shape, -2) if len(shape) > 1 else torch.zeros_like(index)


def _power(x: Tensor, power: int) -> Tensor:
    y = torch.ones_like(x)
    for _ in range(power):
        y = y * x
    return y
