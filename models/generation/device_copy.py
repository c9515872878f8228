"""Copies from a device through two pinned buffers: one drains while the other fills.

A copy into pageable memory makes the device wait for the host; a copy into pinned memory runs
beside the next kernels (CUDA C++ Programming Guide, "Asynchronous Concurrent Execution").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

ByteArray = npt.NDArray[np.uint8]

# copies in progress at a time
BUFFERS = 2


class Event(Protocol):
    """Completion of a copy."""

    def synchronize(self) -> None:
        """Wait until the copy is complete."""


class Queue(Protocol):
    """Ordered work of a device: the work started inside `current`, and copies of its results."""

    def current(self) -> AbstractContextManager[object]:
        """Return a context that sends work to this queue."""

    def buffer(self, nbytes: int) -> torch.Tensor:
        """Return host memory, uint8, that `copy` may still write to after it returns."""

    def copy(self, values: torch.Tensor, buffer: torch.Tensor) -> Event:
        """Start a copy of `values` (uint8, on the device) into `buffer`, of the same length."""


class CudaQueue:
    """Separate CUDA stream."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def current(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream)

    def buffer(self, nbytes: int) -> torch.Tensor:
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    def copy(self, values: torch.Tensor, buffer: torch.Tensor) -> Event:
        buffer.copy_(values, non_blocking=True)
        event = torch.cuda.Event(blocking=True)  # Waits asleep, and without the GIL.
        event.record(self._stream)
        return event


class HostQueue:
    """Queue of a device that shares memory with the host, where all work is immediate."""

    def current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def buffer(self, nbytes: int) -> torch.Tensor:
        return torch.empty(nbytes, dtype=torch.uint8)

    def copy(self, values: torch.Tensor, buffer: torch.Tensor) -> Event:
        buffer.copy_(values)
        return self

    def synchronize(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Copy:
    event: Event
    buffer: torch.Tensor
    out: ByteArray
    landed: Callable[[], None]


class Staging:
    """Copier from `queue`'s device into any memory, in order; for one thread at a time."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._buffers = [torch.empty(0, dtype=torch.uint8)] * BUFFERS
        self._turn = 0
        self._under_way: deque[_Copy] = deque()

    def put(self, values: torch.Tensor, out: ByteArray, landed: Callable[[], None]) -> None:
        """Start a copy of `values`, contiguous on the device, to `out`, of equal size in bytes.

        `landed` is called after the bytes arrive: by a later `put`, or by `finish`.
        """
        if len(self._under_way) == BUFFERS:
            self._land()
        buffer = self._buffer(out.nbytes)
        event = self.queue.copy(values.view(torch.uint8), buffer)
        self._under_way.append(_Copy(event, buffer, out, landed))

    def finish(self) -> None:
        """Wait until all started copies are in their outputs."""
        while self._under_way:
            self._land()

    def give_up(self) -> None:
        """Wait for started copies and discard them, so that their buffers are free again."""
        while self._under_way:
            self._under_way.popleft().event.synchronize()

    def _buffer(self, nbytes: int) -> torch.Tensor:
        """Return the next idle buffer in turn; its capacity is a power of two of bytes."""
        turn = self._turn
        self._turn = (turn + 1) % BUFFERS
        if len(self._buffers[turn]) < nbytes:
            self._buffers[turn] = self.queue.buffer(1 << (nbytes - 1).bit_length())
        return self._buffers[turn][:nbytes]

    def _land(self) -> None:
        copy = self._under_way.popleft()
        copy.event.synchronize()
        np.copyto(copy.out, copy.buffer.numpy())
        copy.landed()


def staging_from(device: torch.device) -> Staging:
    """Return the staging for a device."""
    return Staging(CudaQueue(device) if device.type == "cuda" else HostQueue())
