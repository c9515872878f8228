"""Journal of a recording: every operation in order, on references to storage."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seedpoint.models.tape.errors import Line


class TensorRef(NamedTuple):
    """Tensor as a view of a storage; `stride` and `offset` count elements of `dtype`."""

    storage: int
    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def numel(self) -> int:
        return math.prod(self.size)

    @property
    def extent(self) -> tuple[int, int]:
        """Byte range [start, stop) of the storage that contains every element."""
        last = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        start = self.offset * self.dtype.itemsize
        return start, start + (last + 1) * self.dtype.itemsize


class Operation(NamedTuple):
    """One operation, recorded and not run.

    `number` is its position in the journal. `args` and `kwargs` are the arguments of `function`,
    with a TensorRef in place of each tensor. `results` holds the new tensors it returns, by place
    (None: not a new tensor). `overwrites`: the values it writes do not depend on earlier contents.
    """

    number: int
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reads: tuple[TensorRef, ...]
    writes: tuple[TensorRef, ...]
    results: tuple[TensorRef | None, ...]
    overwrites: bool
    random: bool
    line: Line


class Storage(NamedTuple):
    """Storage of `nbytes` bytes, with the first tensor seen on it as `layout`.

    `initial` (uint8) holds its contents when first seen; None means uninitialized memory.
    """

    nbytes: int
    layout: TensorRef
    initial: Tensor | None


@dataclass(frozen=True, slots=True)
class Past:
    """Operations (numbers in order) on which a tensor's values depend.

    `undefined`: the values depend, or may depend, on memory that no operation wrote.
    """

    operations: tuple[int, ...]
    undefined: bool


class Journal:
    """Storages and the operations on them, in execution order."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.operations: list[Operation] = []
        self._writers: list[list[int]] = []

    def add_storage(self, storage: Storage) -> None:
        self.storages.append(storage)
        self._writers.append([])

    def add(self, operation: Operation) -> None:
        self.operations.append(operation)
        for storage in {ref.storage for ref in operation.writes}:
            self._writers[storage].append(operation.number)

    def writers(self, storage: int, before: int) -> list[Operation]:
        """Return the operations numbered below `before` that wrote to `storage`, in order."""
        numbers = self._writers[storage]
        return [self.operations[k] for k in numbers[: bisect_left(numbers, before)]]

    def past(self, roots: Iterable[tuple[int, int]]) -> Past:
        """Return the past of whole storages.

        A root is a pair (storage, number): only operations below that number count.
        """
        pending, seen, undefined = list(roots), set[tuple[int, int]](), False
        while pending:
            storage, before = pending.pop()
            for operation in reversed(self.writers(storage, before)):
                step = (storage, operation.number)
                if step in seen:
                    break
                seen.add(step)
                pending += ((ref.storage, operation.number) for ref in operation.reads)
                if self._settles(operation, storage):
                    break
            else:
                undefined = undefined or self.storages[storage].initial is None
        return Past(tuple(sorted({number for _, number in seen})), undefined)

    def _settles(self, operation: Operation, storage: int) -> bool:
        """Return whether `operation` replaces the whole contents of `storage`."""
        whole = self.storages[storage].nbytes
        return any(
            ref.numel * ref.dtype.itemsize == whole
            and (operation.overwrites or ref in operation.results)
            for ref in operation.writes
            if ref.storage == storage
        )


def refs(value: Any) -> Iterator[TensorRef]:
    """Yield every TensorRef in an argument: the argument itself, or the items of a list."""
    if isinstance(value, TensorRef):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from refs(item)


def mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Return `value` with `change` applied to each instance of `kind` in it and in its lists."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, list | tuple) and not isinstance(value, TensorRef):
        return type(value)(mapped(item, kind, change) for item in value)
    return value
