"""Compilation of a journal into programs: each tensor's own init, without dead operations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_TORCH
from seedpoint.models.plan.program import (
    Constant,
    Copy,
    Literal,
    Norms,
    Part,
    Program,
    SingularVector,
    Source,
    Split,
    Whole,
)
from seedpoint.models.stream.cost import MAX_NORMED_ELEMENTS, MAX_POWER_PRODUCTS
from seedpoint.models.tape.distributions import draws_of, source_of
from seedpoint.models.tape.errors import shown
from seedpoint.models.tape.geometry import Box, View, identity, whole
from seedpoint.models.tape.journal import Journal, Operation, TensorRef
from seedpoint.models.tape.replay import FixedValues, UnknownValueError, row_bytes
from seedpoint.models.tape.resolver import Resolver
from seedpoint.models.tape.transforms import (
    InexpressibleError,
    Patches,
    joined,
    patched,
    tiling,
    transforms_of,
)
from seedpoint.models.tape.trunc_normal import truncated_normal
from seedpoint.models.tape.value_graph import (
    Cast,
    Filled,
    Given,
    Joined,
    Made,
    Mapped,
    Normed,
    Patched,
    Powered,
    Unresolved,
    Unwritten,
    Value,
    draws,
)

# largest literal, in bytes
_LITERAL_BYTES = 1 << 28
# Draws in these dtypes are not rounded before the transforms (STREAM: transforms in float32).
_WIDE = frozenset({torch.float32, torch.float64})


@dataclass(frozen=True, slots=True)
class OwnInit:
    """Own init of a tensor: its program, or the reason why it has none."""

    program: Program | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Holding:
    """Owner of a draw: the first tensor that holds it, its number in that tensor, and its order.

    `order` is None for the draw's own row-major order.
    """

    tensor: int
    draw: int
    order: View | None


class Compiler:
    """Compiler of programs for the named tensors of a journal, with the literals they need.

    The names are in `state_dict()` order: a draw belongs to the first tensor that holds it.
    """

    def __init__(self, journal: Journal, tensors: Sequence[tuple[str, TensorRef]]) -> None:
        self.literals: dict[str, bytes] = {}
        self._journal = journal
        self._tensors = tensors
        self._end = len(journal.operations)
        self._fixed = FixedValues(journal)
        resolver = Resolver(journal, self._fixed)
        self._values = [resolver.value(ref, self._end) for _, ref in tensors]
        self._holdings = _holdings(self._values)

    def own(self, index: int) -> OwnInit:
        """Return the own init of the tensor at position `index`."""
        name, ref = self._tensors[index]
        value = self._values[index]
        try:
            if any(draws(value)):
                return OwnInit(_Drawn(name, self._tensors, self._holdings).program(value, ref))
            return OwnInit(self._deterministic(value, ref))
        except InexpressibleError as error:
            return OwnInit(None, str(error))
        except UnknownValueError as error:
            return OwnInit(None, f"it holds values that {error}")

    def is_defined(self, index: int) -> bool:
        """Return whether the tensor at position `index` depends on no uninitialized memory."""
        _, ref = self._tensors[index]
        return not self._journal.past([(ref.storage, self._end)]).undefined

    def _deterministic(self, value: Value, ref: TensorRef) -> Program:
        match value:
            case Filled(number):
                return Program(Constant(number))
            case Unwritten():
                raise InexpressibleError("never written")
            case Made(operation, view) if view == identity(operation.writes[0].size):
                source = source_of(operation)
                if source is not None:
                    return Program(source)
        if ref.numel * ref.dtype.itemsize <= _LITERAL_BYTES:
            return Program(self._baked(ref))
        if isinstance(value, Patched):
            return patched(self._deterministic(value.base, ref), value.patches, ref.size)
        raise InexpressibleError(f"a table of {ref.numel} numbers is too large to keep")

    def _baked(self, ref: TensorRef) -> Source:
        """Return the values as a literal, or as a constant when all elements have the same bits."""
        value = self._fixed.value(ref, self._end)
        rows = row_bytes(value)
        if bool((rows == rows[0]).all()):
            return Constant(value.reshape(-1)[0].item())
        data = rows.numpy().tobytes()
        digest = hashlib.sha256(data).hexdigest()
        self.literals[digest] = data
        return Literal(digest, BY_TORCH[ref.dtype].name)


class _Drawn:
    """Compiler for the tensor `name`, whose values are random."""

    def __init__(
        self,
        name: str,
        tensors: Sequence[tuple[str, TensorRef]],
        holdings: Mapping[int, _Holding],
    ) -> None:
        self._name = name
        self._tensors = tensors
        self._holdings = holdings

    def program(self, value: Value, ref: TensorRef, *, part: bool = False) -> Program:
        """Return the program of `value` in `ref`, of which only size and dtype count.

        `part`: the value is a part of a split or the operand of norms, so its stream must be named.
        """
        match value:
            case Filled(number):
                return Program(Constant(number))
            case Made(operation, view):
                return Program(self._draw(operation, view, part=part))
            case Cast(source, target, operand):
                if source not in _WIDE or not target.is_floating_point:
                    raise InexpressibleError(f"random values are cast from {source} to {target}")
                return self.program(operand, ref._replace(dtype=source), part=part)
            case Mapped():
                return self._mapped(value, ref, part=part)
            case Joined(operation, _, left, right):
                sides = (self.program(side, ref, part=part) for side in (left, right))
                return joined(*sides, place=_place(operation))
            case Normed() | Powered():
                return Program(self._of_matrix(value, ref))
            case Patched(base, patches):
                return self._patched(base, patches, ref, part=part)
            case Unresolved(operation, _, reason):
                raise InexpressibleError(f"{_place(operation)} has no program: {reason}")
            case Unwritten():
                raise InexpressibleError("a part of it was never written")
            case Given():
                raise InexpressibleError("it mixes random and given values")

    def _of_matrix(self, value: Normed | Powered, ref: TensorRef) -> Source:
        rows, columns = value.ref.size[0], math.prod(value.ref.size[1:])
        kept = (rows, columns)[value.axis]
        if _order(value.view) is not None or ref.numel != kept:
            what = "norms" if isinstance(value, Normed) else "a singular vector"
            raise InexpressibleError(f"it holds a part of {what}, or in another order")
        return self._norms(value) if isinstance(value, Normed) else self._singular_vector(value)

    def _norms(self, value: Normed) -> Source:
        if value.ref.numel > MAX_NORMED_ELEMENTS:
            raise InexpressibleError(f"it is made of {value.ref.numel} numbers, too many")
        return Norms(self._matrix(value), value.ref.size, value.axis)

    def _matrix(self, value: Normed | Powered) -> Program:
        """Return the program of the matrix, in its order; its draw may be in another."""
        if (reordered := self._reordered(value.operand)) is None:
            return self.program(value.operand, value.ref, part=True)
        operation, view = reordered
        own = operation.writes[0].size
        inner = self.program(_in_own_order(value.operand), value.ref._replace(size=own), part=True)
        owner = self._tensors[self._holdings[operation.number].tensor][0]
        return Program(Copy(inner, owner, own, view.stride, view.offset))

    def _reordered(self, operand: Value) -> tuple[Operation, View] | None:
        """Return the only draw of a matrix, if it is whole and in another order than its tensor."""
        found = list(draws(operand))
        if len(found) != 1:
            return None
        [(operation, view)] = found
        holding = self._holdings.get(operation.number)
        if holding is None or holding.order is not None or _order(view) is None:
            return None
        is_whole = view is not None and whole(view, operation.writes[0].numel)
        return (operation, view) if view is not None and is_whole else None

    def _singular_vector(self, value: Powered) -> Source:
        if value.ref.numel * value.iterations > MAX_POWER_PRODUCTS:
            numbers = f"{value.ref.numel} numbers in {value.iterations} iterations"
            raise InexpressibleError(f"it is made of {numbers}, too many")
        # The start is a draw divided by its norm, which the power method does itself.
        starts = {operation.number: operation for operation, _ in draws(value.start)}
        if len(starts) != 1:
            raise InexpressibleError("its power method does not start from one draw")
        [start] = starts.values()
        if start.writes[0].numel != math.prod(value.ref.size[1:]):
            raise InexpressibleError("its power method starts from another vector")
        drawn = self._draw(start, identity(start.writes[0].size), part=True)
        of = self._matrix(value)
        return SingularVector(
            *(of, value.ref.size, Program(drawn)), value.iterations, value.eps, value.axis
        )

    def _mapped(self, value: Mapped, ref: TensorRef, *, part: bool) -> Program:
        if (known := truncated_normal(value)) is not None:
            made, truncated = known
            drawn = self._draw(made.operation, made.view, part=part)
            assert isinstance(drawn, Draw)
            return Program(replace(truncated, draw=drawn.draw, stream=drawn.stream))
        if ref.dtype not in _WIDE:
            raise InexpressibleError(f"random values are transformed in {ref.dtype}")
        program = self.program(value.operand, ref, part=part)
        return replace(program, transforms=(*program.transforms, *transforms_of(value)))

    def _draw(self, operation: Operation, view: View, *, part: bool) -> Source:
        if not operation.random or operation.number not in self._holdings:
            raise InexpressibleError(f"{operation.name} mixes with random values")
        holding = self._holdings[operation.number]
        owner = self._tensors[holding.tensor][0]
        if not whole(view, operation.writes[0].numel):
            raise InexpressibleError("it holds a part of a larger draw")
        if _order(view) != holding.order:
            raise InexpressibleError(f"it holds the draw of {owner!r} in another order")
        stream = owner if part or owner != self._name else None
        try:
            source = source_of(operation, holding.draw, stream)
        except ValueError as error:
            raise InexpressibleError(f"{_place(operation)}: {error}") from None
        if isinstance(source, Whole) and view != identity(operation.writes[0].size):
            raise InexpressibleError(f"{_place(operation)} reads it as a matrix of another shape")
        if source is None:
            place = _place(operation)
            raise InexpressibleError(
                f"{place} has no program: the stream does not have its distribution"
            )
        return source

    def _patched(self, base: Value, patches: Patches, ref: TensorRef, *, part: bool) -> Program:
        if not isinstance(base, Unwritten):
            return patched(self.program(base, ref, part=part), patches, ref.size)
        tiles, axis = tiling([region for region, _ in patches], ref.size)
        parts = [
            (region[axis].start, self._part(region, inner, ref, axis))
            for region, inner in patches[:tiles]
        ]
        ordered = tuple(item for _, item in sorted(parts, key=lambda pair: pair[0]))
        return patched(Program(Split(axis, ordered)), patches[tiles:], ref.size)

    def _part(self, region: Box, inner: Value, ref: TensorRef, axis: int) -> Part:
        size = tuple(len(range(*span)) for span in region)
        return Part(size[axis], self.program(inner, ref._replace(size=size), part=True))


def _holdings(values: Sequence[Value]) -> dict[int, _Holding]:
    """Return the owner of each random operation, by the operation's number."""
    held = set[int]()
    holdings: dict[int, _Holding] = {}
    for tensor, value in enumerate(values):
        first: dict[int, tuple[Operation, View | None]] = {}
        for operation, view in draws(value):
            if operation.number not in held:
                first.setdefault(operation.number, (operation, view))
        draw = 0
        for index in sorted(first):
            operation, view = first[index]
            holdings[index] = _Holding(tensor, draw, _order(view))
            draw += draws_of(operation)
        held.update(first)
    return holdings


def _in_own_order(value: Value) -> Value:
    """Return a value with its only draw in the draw's own order."""
    match value:
        case Made(operation, _):
            return Made(operation, identity(operation.writes[0].size))
        case Cast(operand=operand) | Mapped(operand=operand):
            return replace(value, operand=_in_own_order(operand))
        case _:
            raise InexpressibleError("it mixes a draw in another order")


def _place(operation: Operation) -> str:
    return f"{operation.name} at {shown(operation.line)}"


def _order(view: View | None) -> View | None:
    return None if view is None or view == identity(view.size) else view
