"""What a tensor holds, as an expression over the operations that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from seedpoint.models.plan.program import Scalar
from seedpoint.models.tape.geometry import Box, View
from seedpoint.models.tape.journal import Operation, Ref


@dataclass(frozen=True, slots=True)
class Filled:
    """One value everywhere, exact in the dtype it was written in."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Made:
    """The elements `view` of what an operation made whole: a draw, or a unit's matrix."""

    operation: Operation
    view: View


@dataclass(frozen=True, slots=True)
class Given:
    """What only running the operations tells: memory from outside, or too long a history."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Uninitialized memory."""


@dataclass(frozen=True, slots=True)
class Cast:
    """`operand`, converted from `source` to `target`."""

    source: torch.dtype
    target: torch.dtype
    operand: Value


@dataclass(frozen=True, slots=True)
class Mapped:
    """A pointwise function with scalar `arguments` (`mul`, `clamp`) of `operand`.

    `dtype` is the type it was computed in.
    """

    function: str
    arguments: tuple[tuple[str, Scalar | None], ...]
    operand: Value
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Joined:
    """A pointwise function of two tensors, `left` and `right`, of one size."""

    operation: Operation
    function: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Normed:
    """The elements `view` of the norms of each index along `axis` of `operand`, a matrix `ref`."""

    operation: Operation
    operand: Value
    ref: Ref
    axis: int
    view: View


@dataclass(frozen=True, slots=True)
class Patched:
    """`base`, with values put into boxes of its indices one after the other."""

    base: Value
    patches: tuple[tuple[Box, Value], ...]


@dataclass(frozen=True, slots=True)
class Mixed:
    """What an operation made of whole `operands`, which no expression here says; and why."""

    operation: Operation
    operands: tuple[Value, ...]
    reason: str


Value = Filled | Made | Given | Unwritten | Cast | Mapped | Joined | Normed | Patched | Mixed


def draws(value: Value) -> Iterator[tuple[Operation, View | None]]:
    """The random operations whose values are in `value`, with the view of what they drew.

    The view is None where they are in it through an operation on whole tensors.
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
            case Joined(left=left, right=right):
                pending += ((left, direct), (right, direct))
            case Patched(base, patches):
                pending.append((base, direct))
                pending += ((inner, direct) for _, inner in patches)
            case Mixed(operation, operands):
                pending += ((operand, False) for operand in operands)
                if operation.random:
                    yield operation, None
            case _:
                pass
