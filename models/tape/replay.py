"""Execution of recorded operations on real memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from seedpoint.models.tape.errors import shown
from seedpoint.models.tape.journal import Journal, Operation, Storage, TensorRef, mapped

# largest memory in bytes for one evaluation; above any table that a constructor computes
_EVALUATED_BYTES = 1 << 31
# largest value in bytes that is kept
_KEPT_BYTES = 1 << 16


class UnknownValueError(Exception):
    """Values unknown while recording; the message is a clause that gives the reason."""


class Memory:
    """Real memory for the storages of a journal, allocated when an operation touches it.

    Uninitialized memory is filled with the byte `filler`.
    """

    def __init__(self, journal: Journal, filler: int = 0) -> None:
        self._journal = journal
        self._filler = filler
        self._bytes: dict[int, Tensor] = {}

    def tensor(self, ref: TensorRef) -> Tensor:
        """Return the real tensor for `ref`."""
        if ref.storage not in self._bytes:
            self._bytes[ref.storage] = self._made(self._journal.storages[ref.storage])
        storage = self._bytes[ref.storage].untyped_storage()
        empty = torch.empty(0, dtype=ref.dtype)
        return empty.set_(storage, ref.offset, ref.size, ref.stride)

    def run(self, operations: Iterable[Operation]) -> None:
        """Run `operations` in the given order, with torch's own generator."""
        with torch.no_grad():
            for operation in operations:
                args = mapped(operation.args, TensorRef, self.tensor)
                kwargs = {k: mapped(v, TensorRef, self.tensor) for k, v in operation.kwargs.items()}
                result = operation.function(*args, **kwargs)
                for ref, value in zip(operation.results, flat(result), strict=False):
                    if ref is not None:
                        assert value.size() == ref.size, f"{operation.name} has another shape"
                        self.tensor(ref).copy_(value)

    def _made(self, storage: Storage) -> Tensor:
        if storage.initial is not None:
            return storage.initial.clone()
        return torch.full((storage.nbytes,), self._filler, dtype=torch.uint8)


class FixedValues:
    """Values of tensors that do not depend on random ones, computed on demand."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: dict[tuple[TensorRef, int], Tensor] = {}

    def value(self, ref: TensorRef, before: int) -> Tensor:
        """Return the contents of `ref` just before operation `before`, as a real tensor of its own.

        Raises:
            UnknownValueError: The values are random, too large to compute, or never written.
        """
        key = (ref, len(self._journal.writers(ref.storage, before)))
        if key not in self._kept:
            value = self._evaluated(ref, before)
            if value.nbytes > _KEPT_BYTES:
                return value
            self._kept[key] = value
        return self._kept[key].clone()

    def _evaluated(self, ref: TensorRef, before: int) -> Tensor:
        past = self._journal.past([(ref.storage, before)])
        operations = [self._journal.operations[number] for number in past.operations]
        for operation in operations:
            if operation.random:
                raise UnknownValueError(
                    f"depend on the random values of {operation.name} at {shown(operation.line)}"
                )
        storages = {w.storage for operation in operations for w in operation.writes}
        if sum(self._journal.storages[s].nbytes for s in storages) > _EVALUATED_BYTES:
            raise UnknownValueError("are too many to be computed while recording")
        value = self._run(operations, ref, 0)
        if past.undefined and not _same_bits(value, self._run(operations, ref, 0xFF)):
            raise UnknownValueError("were never written")
        return value

    def _run(self, operations: Iterable[Operation], ref: TensorRef, filler: int) -> Tensor:
        memory = Memory(self._journal, filler)
        memory.run(operations)
        return memory.tensor(ref).clone(memory_format=torch.contiguous_format)


def flat(result: Any) -> list[Any]:
    """Return the values that an operation returned, as a flat list."""
    if isinstance(result, list | tuple):
        return [value for item in result for value in flat(item)]
    return [result]


def row_bytes(tensor: Tensor) -> Tensor:
    """Return the elements in row-major order as rows of bytes: uint8, (numel, itemsize)."""
    return tensor.contiguous().reshape(-1, 1).view(torch.uint8)


def _same_bits(left: Tensor, right: Tensor) -> bool:
    return torch.equal(row_bytes(left), row_bytes(right))
