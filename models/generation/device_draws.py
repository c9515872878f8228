"""Providers of random values: the kernels on the CPU, the reference on any other device."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np
import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_TORCH
from seedpoint.models.generation.copies import TILE_ELEMENTS
from seedpoint.models.generation.device_copy import Staging, staging_from
from seedpoint.models.stream import cpu, reference


class Draws(Protocol):
    """Provider of random values: one implementation of the stream on one device.

    Create it once and share it: an implementation off the CPU holds memory for each thread.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def tile_elements(self) -> int:
        """Number of elements that are well generated at a time, to pick some from."""

    @property
    def staging(self) -> Staging | None:
        """Copier of values from the device for this thread; None when values are made in place."""

    def fill(self, draw: Draw, key: tuple[int, int], start: int, out: torch.Tensor) -> None:
        """Write elements [start, start + len(out)) of `draw` to `out`, float32 on `device`."""

    def fill_runs(
        self, draw: Draw, key: tuple[int, int], start: int, step: int, width: int, out: torch.Tensor
    ) -> None:
        """Write `width` elements of `draw` from start + r * step on to each row r of `out`.

        `out` is a contiguous matrix, float32 on `device`; its other columns get any values.
        """

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Convert `values`, float32 on `device`, into `out`, of a narrower floating dtype."""


class CpuDraws:
    """Draws by the Numba kernels."""

    device = torch.device("cpu")
    tile_elements = TILE_ELEMENTS
    staging = None

    def fill(self, draw: Draw, key: tuple[int, int], start: int, out: torch.Tensor) -> None:
        cpu.fill(draw.type, out.numpy(), key, draw.draw, start, draw.f32)

    def fill_runs(
        self, draw: Draw, key: tuple[int, int], start: int, step: int, width: int, out: torch.Tensor
    ) -> None:
        starts = start + step * np.arange(len(out))
        values = np.empty(len(out) * width, np.float32)
        cpu.fill_runs(draw.type, values, key, draw.draw, starts, width, draw.f32)
        out[:, :width] = torch.from_numpy(values).view(len(out), width)

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        patterns = out.view(torch.uint8).numpy()
        cpu.convert(values.numpy(), patterns, BY_TORCH[out.dtype].name)


class ReferenceDraws:
    """Draws by torch operations, on any device, with one staging per thread."""

    tile_elements = 1 << 20

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

    def fill_runs(
        self, draw: Draw, key: tuple[int, int], start: int, step: int, width: int, out: torch.Tensor
    ) -> None:
        """Generate the elements between the runs too, if several runs fit a tile."""
        fitting = max(1, self.tile_elements // max(step, 1))
        for low in range(0, len(out), fitting):
            rows = out[low : low + fitting]
            values = out.new_empty((len(rows) - 1) * step + width)
            self.fill(draw, key, start + low * step, values)
            rows[:, :width] = values.as_strided((len(rows), width), (step, 1))

    def convert(self, values: torch.Tensor, out: torch.Tensor) -> None:
        patterns = reference.convert(values, BY_TORCH[out.dtype].name)
        out.copy_(patterns.view(out.dtype))


def draws_on(device: str) -> Draws:
    """Return the implementation for a device: kernels for `cpu`, the reference for any other."""
    return CpuDraws() if device == "cpu" else ReferenceDraws(torch.device(device))
