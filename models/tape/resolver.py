"""Resolution of references to values: the live contents and the operations that made them.

Operations whose values were overwritten, or copied nowhere, do not occur.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, combinations
from typing import Any, NamedTuple

import torch

from seedpoint.models.dtypes import BY_TORCH
from seedpoint.models.plan.program import Scalar
from seedpoint.models.stream import reference
from seedpoint.models.tape.geometry import (
    Box,
    View,
    apart,
    box,
    count,
    disjoint,
    expanded,
    identity,
    inside,
    meet,
    part,
    within,
)
from seedpoint.models.tape.journal import Journal, Operation, TensorRef
from seedpoint.models.tape.power_method import NAME as POWER_METHOD
from seedpoint.models.tape.replay import FixedValues, UnknownValueError
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

# position of the fill value among the operator's arguments
_FILLS = {
    **dict.fromkeys(("fill_.Scalar", "full_like.default", "fill.Scalar"), 1),
    **dict.fromkeys(("full.default", "new_full.default"), -1),
    "scalar_tensor.default": 0,
}
_ZEROS = frozenset({"zero_.default", "zeros.default", "zeros_like.default", "new_zeros.default"})
_ONES = frozenset({"ones.default", "ones_like.default", "new_ones.default"})
# position of the source tensor among the operator's arguments
_COPIES = {
    "copy_.default": 1,
    **dict.fromkeys(("clone.default", "_to_copy.default", "alias_copy.default"), 0),
    **dict.fromkeys(("lift_fresh_copy.default", "detach_copy.default"), 0),
}
_MAPS = frozenset(
    {
        *("neg", "add", "sub", "mul", "div", "exp", "expm1", "log", "clamp", "clamp_min"),
        *("clamp_max", "erfinv", "rsub"),
    }
)
# deepest history followed, in operations; the longest seen in any library is 27
_DEPTH = 100
_JOINS = frozenset({"add"})
_COMMUTATIVE = frozenset({"add", "mul"})


class Resolver:
    """Resolver of references, at a point of `journal`, to values."""

    def __init__(self, journal: Journal, fixed: FixedValues) -> None:
        self._journal = journal
        self._fixed = fixed
        self._known: dict[tuple[TensorRef, int], Value] = {}
        self._depth = 0

    def value(self, ref: TensorRef, before: int) -> Value:
        """Return the value of `ref` just before operation `before`."""
        if 0 in ref.size:
            return Filled(exact(0, ref.dtype))
        writers = self._journal.writers(ref.storage, before)
        key = (ref, len(writers))
        if key not in self._known:
            if self._depth == _DEPTH:
                return Given(ref)
            self._depth += 1
            self._known[key] = self._number(self._value(ref, writers), ref, before)
            self._depth -= 1
        return self._known[key]

    def _number(self, value: Value, ref: TensorRef, before: int) -> Value:
        """Return `value`, as a plain number when it is a single element that is not random."""
        if isinstance(value, Filled) or ref.numel != 1 or any(draws(value)):
            return value
        try:
            return Filled(self._fixed.value(ref, before).item())
        except UnknownValueError:
            return value

    def _value(self, ref: TensorRef, writers: list[Operation]) -> Value:
        later = _Patches(ref.size)
        storage = self._journal.storages[ref.storage]
        base: Value = Unwritten() if storage.initial is None else Given(ref)
        pairs = ((op, w) for op in reversed(writers) for w in op.writes)
        for operation, written in pairs:
            if written.storage != ref.storage or apart(ref, written):
                continue
            whole = self._through(operation, written, ref)
            if whole is not None:
                base = whole
                break
            if disjoint(ref, written, storage.layout):
                continue
            region = box(ref, written) if written.dtype == ref.dtype else None
            if region is None:
                reads = (*operation.reads, ref)
                base = self._mixed(operation, "it overlaps the tensor irregularly", reads)
                break
            if not later.hide(region):
                inner = self._result(operation, written, identity(written.size))
                later.put_below(region, inner)
        return later.over(base)

    def _through(self, operation: Operation, written: TensorRef, ref: TensorRef) -> Value | None:
        """Return the value of `ref` when it lies inside `written`; else None."""
        if written.dtype != ref.dtype:
            return self._copied_bytes(operation, written, ref)
        view = inside(ref, written)
        return None if view is None else self._result(operation, written, view)

    def _copied_bytes(
        self, operation: Operation, written: TensorRef, ref: TensorRef
    ) -> Value | None:
        """Return the value of `ref` when its bytes were copied, as by a deep copy of a storage."""
        source = operation.args[1] if operation.name == "aten.copy_.default" else None
        if not isinstance(source, TensorRef) or not _is_bytes(source) or not _is_bytes(written):
            return None
        (start, stop), (low, high) = ref.extent, written.extent
        shift, rest = divmod(source.offset - written.offset, ref.dtype.itemsize)
        if start < low or stop > high or rest:
            return None
        moved = ref._replace(storage=source.storage, offset=ref.offset + shift)
        return self.value(moved, operation.number)

    def _result(self, operation: Operation, written: TensorRef, view: View) -> Value:
        """Return the elements `view` of the values that `operation` wrote to `written`."""
        name, args = operation.name.removeprefix("aten."), operation.args
        filler = _filler(name, args)
        if filler is not None:
            return Filled(exact(filler, written.dtype))
        if name in _COPIES:
            return self._operand(operation, args[_COPIES[name]], written, view)
        if name == "fill_.Tensor":
            return self._operand(operation, args[1], written, view)
        function = name.partition(".")[0].removesuffix("_")
        if function in _MAPS:
            return self._mapped(operation, function, written, view)
        if name.startswith("norm.") and (matrix := _normed(name, args)) is not None:
            operand, ref = self._matrix(matrix.ref, operation.number)
            return Normed(operation, operand, ref, matrix.axis, view)
        if name == POWER_METHOD:
            return self._powered(operation, written, view)
        if not operation.reads and len(operation.writes) == 1:
            return Made(operation, view)
        return self._mixed(operation, "it is not made element by element")

    def _powered(self, operation: Operation, written: TensorRef, view: View) -> Powered:
        matrix, left, right, iterations, eps = operation.args
        operand, matrix = self._matrix(matrix, operation.number)
        start = self.value(right, operation.number)
        if isinstance(start, Powered) and start.operand == operand:
            iterations += start.iterations
            start = start.start
        axis = 0 if written == left else 1
        return Powered(operand, matrix, start, iterations, eps, axis, view)

    def _matrix(self, ref: TensorRef, before: int) -> tuple[Value, TensorRef]:
        """Return the value of a matrix and the reference that it is of.

        A copy that only brings a tensor into another order, and flattens all axes but the first, is
        that tensor, with its own axes.
        """
        value = self.value(ref, before)
        if not isinstance(value, Unresolved):
            return value, ref
        name, args = value.operation.name.removeprefix("aten."), value.operation.args
        source = args[_COPIES[name]] if name in _COPIES else None
        (written,) = value.operation.writes
        if (
            isinstance(source, TensorRef)
            and source.dtype == written.dtype
            and source.size[:1] == ref.size[:1]
            and inside(ref, written) == identity(ref.size)
            and source.size == written.size
        ):
            return self.value(source, value.operation.number), source
        return value, ref

    def _operand(
        self, operation: Operation, source: TensorRef, written: TensorRef, view: View
    ) -> Value:
        number = self._scalar(operation, source) if source.numel == 1 else source
        if not isinstance(number, TensorRef):
            return Filled(exact(number, written.dtype))
        taken = part(expanded(source, written.size), view)
        if taken is None:
            return self._mixed(operation, "it reorders elements")
        value = self.value(taken, operation.number)
        if source.dtype == written.dtype:
            return value
        if isinstance(value, Filled):
            return Filled(exact(value.value, written.dtype))
        return Cast(source.dtype, written.dtype, value)

    def _mapped(self, operation: Operation, function: str, written: TensorRef, view: View) -> Value:
        given = {k: self._scalar(operation, v) for k, v in _named(operation).items()}
        if (
            function in _COMMUTATIVE
            and "alpha" not in given
            and isinstance(given["other"], TensorRef)
        ):
            given["self"], given["other"] = given["other"], given["self"]
        subject = given.pop("self")
        if isinstance(subject, Scalar):
            subject = operation.args[0]
        if not isinstance(subject, TensorRef):
            return self._mixed(operation, "it mixes tensors")
        if any(isinstance(v, TensorRef) for v in given.values()):
            return self._joined(operation, function, subject, given, written, view)
        operand = self._operand(operation, subject, written, view)
        return Mapped(function, tuple(given.items()), operand, written.dtype)

    def _joined(
        self,
        operation: Operation,
        function: str,
        subject: TensorRef,
        given: dict[str, Any],
        written: TensorRef,
        view: View,
    ) -> Value:
        other = given.get("other")
        if function not in _JOINS or not isinstance(other, TensorRef) or given.get("alpha", 1) != 1:
            return self._mixed(operation, "it mixes tensors")
        left, right = (self._operand(operation, r, written, view) for r in (subject, other))
        return Joined(operation, function, left, right)

    def _scalar(self, operation: Operation, argument: Any) -> Any:
        """Return a tensor argument with one value everywhere as that number; others unchanged."""
        if isinstance(argument, TensorRef):
            value = self.value(argument, operation.number)
            return value.value if isinstance(value, Filled) else argument
        return argument

    def _mixed(
        self, operation: Operation, reason: str, reads: tuple[TensorRef, ...] | None = None
    ) -> Unresolved:
        reads = operation.reads if reads is None else reads
        return Unresolved(operation, tuple(self.value(r, operation.number) for r in reads), reason)


class _Patches:
    """Patches of a tensor of `size`, collected from the last to the first."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self._numel = math.prod(size)
        self._found: list[tuple[Box, Value]] = []
        self._seen = set[Box]()
        self._large: list[Box] = []

    def hide(self, region: Box) -> bool:
        """Return whether a later patch covers the whole of `region`."""
        return region in self._seen or any(within(region, large) for large in self._large)

    def put_below(self, region: Box, value: Value) -> None:
        self._found.append((region, value))
        self._seen.add(region)
        if count(region) > 1:
            self._large.append(region)

    def over(self, base: Value) -> Value:
        """Return the patches on `base`, which is dropped when the first patches tile the tensor."""
        if not self._found:
            return base
        patches = tuple(reversed(self._found))
        covered = accumulate(count(region) for region, _ in patches)
        tiles = [k for k, total in enumerate(covered, 1) if total == self._numel]
        tiled = any(_separate([region for region, _ in patches[:k]]) for k in tiles)
        return Patched(Unwritten() if tiled else base, patches)


def _separate(regions: Sequence[Box]) -> bool:
    return not any(meet(a, b) for a, b in combinations(regions, 2))


def exact(value: Scalar, dtype: torch.dtype) -> Scalar:
    """Return `value` as `dtype` represents it."""
    if dtype.is_floating_point and dtype.itemsize < 4:
        kept = torch.full((1,), value, dtype=torch.float64).to(torch.float32)
        return reference.convert(kept, BY_TORCH[dtype].name).view(dtype).item()
    number: Scalar = torch.full((), value, dtype=dtype).item()
    return number


def _filler(name: str, args: tuple[Any, ...]) -> Any:
    if name in _ZEROS:
        return 0
    if name in _ONES:
        return 1
    return args[_FILLS[name]] if name in _FILLS else None


def _named(operation: Operation) -> dict[str, Any]:
    """Return the arguments of an ATen operation by name."""
    parameters = operation.function._schema.arguments  # type: ignore[attr-defined]
    names = [parameter.name for parameter in parameters]
    return dict(zip(names, operation.args, strict=False)) | operation.kwargs


class _Matrix(NamedTuple):
    """Matrix whose norms are taken, for each index along an axis."""

    ref: TensorRef
    axis: int


def _normed(name: str, args: tuple[Any, ...]) -> _Matrix | None:
    """Return the matrix of a Euclidean norm, a single row for one of all numbers; else None."""
    tensor, power = args[0], args[1] if len(args) > 1 else 2
    if not isinstance(tensor, TensorRef) or power != 2:
        return None
    if name == "norm.Scalar":
        row = tensor._replace(size=(1, *tensor.size), stride=(tensor.numel, *tensor.stride))
        return _Matrix(row if len(row.size) > 1 else row._replace(size=(1, 1), stride=(1, 1)), 0)
    is_matrix = name == "norm.ScalarOpt_dim" and len(tensor.size) == 2 and len(args[2]) == 1
    return _Matrix(tensor, 1 - args[2][0] % 2) if is_matrix else None


def _is_bytes(ref: TensorRef) -> bool:
    return ref.dtype == torch.uint8 and ref.stride == (1,)
