"""Providers of random values: the kernels on the CPU, the reference on any other device."""

from __future__ import annotations

import threading
from typing import Protocol

import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_TORCH
from seedpoint.models.generation.device_copy import Staging, staging_from
from seedpoint.models.stream import cpu, reference


class Draws(Protocol):
    """Provider of random values: one implementation of the stream on one device.

    Create it once and share it: an implementation off the CPU holds memory for each thread.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def staging(self) -> Staging | None:
        """Copier of values from the device for this thread; None when values are made in place."""

    def fill(self, draw: Draw, key: tuple[int, int], start: int, out: torch.Tensor) -> None:
        """Write elements [start, start + len(out)) of `draw` to `out`, float32 on `device`."""

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Convert `values`, float32 on `device`, into `out`, of a narrower floating dtype."""


class CpuDraws:
    """Draws by the Numba kernels."""

    device = torch.device("cpu")
    staging = None

    def fill(self, draw: Draw, key: tuple[int, int], start: int, out: torch.Tensor) -> None:
        cpu.fill(draw.type, out.numpy(), key, draw.draw, start, draw.f32)

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        patterns = out.view(torch.uint8).numpy()
        cpu.convert(values.numpy(), patterns, BY_TORCH[out.dtype].name)


class ReferenceDraws:
    """Draws by torch operations, on any device, with one staging per thread."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._of_thread = threading.local()

    @property
    def staging(self) -> Staging:
        """Staging of this thread."""
        found: Staging | None = getattr(self._of_thread, "staging", None)
        if found is None:
            found = self._of_thread.staging = staging_from(self.device)
        return found

    def fill(self, draw: Draw, key: tuple[int, int], start: int, out: torch.Tensor) -> None:
        values = reference.DRAWS[draw.type]
        stop = start + len(out)
        out.copy_(values(key, draw.draw, start, stop, draw.f32, device=self.device))

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        patterns = reference.convert(values, BY_TORCH[out.dtype].name)
        out.copy_(patterns.view(out.dtype))


def draws_on(device: str) -> Draws:
    """Return the implementation for a device: kernels for `cpu`, the reference for any other."""
    return CpuDraws() if device == "cpu" else ReferenceDraws(torch.device(device))
