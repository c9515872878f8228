"""Contents of a tensor, as an expression over the operations that made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from seedpoint.models.plan.program import Scalar
from seedpoint.models.tape.geometry import Box, View
from seedpoint.models.tape.journal import Operation, TensorRef


@dataclass(frozen=True, slots=True)
class Filled:
    """One value everywhere, exact in the dtype it was written in."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Made:
    """Elements `view` of the whole output of an operation: a draw, or a unit's matrix."""

    operation: Operation
    view: View


@dataclass(frozen=True, slots=True)
class Given:
    """Values known only by running the operations: outside memory, or too long a history."""

    ref: TensorRef


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Uninitialized memory."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Value `operand`, converted from `source` to `target`."""

    source: torch.dtype
    target: torch.dtype
    operand: Value


@dataclass(frozen=True, slots=True)
class Mapped:
    """Pointwise function of `operand` with scalar `arguments` (`mul`, `clamp`).

    `dtype` is the type of the computation.
    """

    function: str
    arguments: tuple[tuple[str, Scalar | None], ...]
    operand: Value
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Joined:
    """Pointwise function of two tensors of one size, `left` and `right`."""

    operation: Operation
    function: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Normed:
    """Elements `view` of the norms, per index along `axis`, of `operand`, the matrix `ref`."""

    operation: Operation
    operand: Value
    ref: TensorRef
    axis: int
    view: View


@dataclass(frozen=True, slots=True)
class Powered:
    """Elements `view` of a singular vector of `operand`, the matrix `ref`, by the power method.

    `start` is the right vector before the `iterations`, up to its length; `axis` is that of the
    matrix that the vector has an element for.
    """

    operand: Value
    ref: TensorRef
    start: Value
    iterations: int
    eps: float
    axis: int
    view: View


@dataclass(frozen=True, slots=True)
class Patched:
    """Value `base`, with values written into boxes of its indices in order."""

    base: Value
    patches: tuple[tuple[Box, Value], ...]


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Result of an operation on whole `operands` that no expression covers, with the reason."""

    operation: Operation
    operands: tuple[Value, ...]
    reason: str


Value = (
    Filled
    | Made
    | Given
    | Unwritten
    | Cast
    | Mapped
    | Joined
    | Normed
    | Powered
    | Patched
    | Unresolved
)


def draws(value: Value) -> Iterator[tuple[Operation, View | None]]:
    """Yield the random operations whose values are in `value`, with the view of their draw.

    The view is None when the draw reaches `value` through an operation on whole tensors.
    """
    if isinstance(value, Filled | Given | Unwritten):
        return
    pending: list[tuple[Value, bool]] = [(value, True)]
    seen = set[int]()
    while pending:
        item, direct = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        match item:
            case Made(operation, view) if operation.random:
                yield operation, view if direct else None
            case Cast(operand=operand) | Mapped(operand=operand):
                pending.append((operand, direct))
            case Normed(operand=operand):
                pending.append((operand, False))
            case Powered(operand=operand, start=start):
                pending += ((operand, False), (start, False))
            case Joined(left=left, right=right):
                pending += ((left, direct), (right, direct))
            case Patched(base, patches):
                pending.append((base, direct))
                pending += ((inner, direct) for _, inner in patches)
            case Unresolved(operation, operands):
                pending += ((operand, False) for operand in operands)
                if operation.random:
                    yield operation, None
            case _:
                pass
