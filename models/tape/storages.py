"""Storages of a recording: phantoms that it allocated, and memory from outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from seedpoint.models.tape.errors import refusal
from seedpoint.models.tape.journal import Journal, Storage, TensorRef
from seedpoint.models.tape.phantom import Arena


def unrecorded() -> AbstractContextManager[None]:
    """Return a context in which operations run normally."""
    guard: AbstractContextManager[None] = torch._C._DisableTorchDispatch()
    return guard


class Storages:
    """Registry that numbers the storages of tensors for `journal`, in order of first sight."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._arena = Arena()
        # Keyed by the address of the storage object, which is kept so that no other takes it.
        self._numbers: dict[int, int] = {}
        self._kept: list[torch.UntypedStorage] = []
        self._foreign: list[tuple[Tensor, Tensor]] = []

    def allocated(self, size: Sequence[int], stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a new phantom tensor."""
        tensor = self._arena.tensor(size, stride, dtype)
        self._numbered(tensor, tensor.untyped_storage(), None)
        return tensor

    def ref(self, tensor: Tensor) -> TensorRef:
        """Return the reference to `tensor`.

        Raises:
            RecordingError: The tensor is not on the CPU or not a plain view of a storage.
        """
        if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
            raise refusal("a sparse, conjugated or negated tensor", "it has no plain storage")
        storage = tensor.untyped_storage()
        number = self._numbers.get(storage._cdata)
        if number is None:
            number = self._first_sight(tensor, storage)
        size = tuple(tensor.size())
        return TensorRef(number, tensor.dtype, size, tensor.stride(), int(tensor.storage_offset()))

    def changed(self) -> bool:
        """Return whether memory from outside changed without a recorded operation."""
        return not all(torch.equal(memory, initial) for memory, initial in self._foreign)

    def _first_sight(self, tensor: Tensor, storage: torch.UntypedStorage) -> int:
        """Number memory that no operator allocated: `torch.tensor`, `from_numpy`, a closure."""
        if tensor.device.type != "cpu":
            raise refusal(f"a tensor on {tensor.device}", "only tensors on the CPU can be recorded")
        with unrecorded():
            memory = torch.empty(0, dtype=torch.uint8).set_(storage)
            initial = memory.clone()
        self._foreign.append((memory, initial))
        return self._numbered(tensor, storage, initial)

    def _numbered(
        self, tensor: Tensor, storage: torch.UntypedStorage, initial: Tensor | None
    ) -> int:
        number = len(self._kept)
        self._numbers[storage._cdata] = number
        self._kept.append(storage)
        layout = TensorRef(number, tensor.dtype, tuple(tensor.size()), tensor.stride(), 0)
        self._journal.add_storage(Storage(storage.nbytes(), layout, initial))
        return number
