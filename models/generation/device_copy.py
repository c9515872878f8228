"""From a device to memory by way of two pinned buffers: one is emptied while the other is filled.

A copy into pageable memory makes the device wait for the host; one into pinned memory runs beside
the next kernels (CUDA C++ Programming Guide, "Asynchronous Concurrent Execution").
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

BUFFERS = 2


class Event(Protocol):
    """When a copy is done."""

    def synchronize(self) -> None:
        """Waits until it is."""


class Queue(Protocol):
    """A device's work in its order: what is begun in `current` and the copies from it."""

    def current(self) -> AbstractContextManager[object]:
        """In which work goes to this queue."""

    def buffer(self, nbytes: int) -> torch.Tensor:
        """Host memory, uint8, that `copy` may write to later than it returns."""

    def copy(self, values: torch.Tensor, buffer: torch.Tensor) -> Event:
        """Begins to copy `values` (uint8, on the device) into `buffer`, of the same length."""


class CudaQueue:
    """A CUDA stream of its own."""

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
    """The same for a device that shares memory with the host, where all is done at once."""

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
    """Copies from `queue`'s device into any memory, in their order; for one thread at a time."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._buffers = [torch.empty(0, dtype=torch.uint8)] * BUFFERS
        self._turn = 0
        self._under_way: deque[_Copy] = deque()

    def put(self, values: torch.Tensor, out: ByteArray, landed: Callable[[], None]) -> None:
        """Begins to copy `values`, contiguous on the device, to `out`, of as many bytes.

        `landed` is called when they are there: by one of the next calls, or by `finish`.
        """
        if len(self._under_way) == BUFFERS:
            self._land()
        buffer = self._buffer(out.nbytes)
        event = self.queue.copy(values.view(torch.uint8), buffer)
        self._under_way.append(_Copy(event, buffer, out, landed))

    def finish(self) -> None:
        """Returns when all that was put is where it belongs."""
        while self._under_way:
            self._land()

    def give_up(self) -> None:
        """Waits for the copies that were begun, and forgets them: their buffers are free then."""
        while self._under_way:
            self._under_way.popleft().event.synchronize()

    def _buffer(self, nbytes: int) -> torch.Tensor:
        """The one whose turn it is, which nothing is copied to: of a power of two of bytes."""
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
    """The way from a device."""
    return Staging(CudaQueue(device) if device.type == "cuda" else HostQueue())
