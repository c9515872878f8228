"""Byte source of a tensor or a slice of one, generated on request."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.files.layout import Layout
from seedpoint.models.files.slices import Slice
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.slice_elements import (
    fill_slice,
    piece_elements,
    read_slice,
    whole_tensors_of_slice,
)
from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.service.generation.dispatcher import Job
from seedpoint.service.generation.engine import Engine

PIECES_AHEAD = 4  # Jobs of a JSON document in progress at once.


@dataclass(frozen=True, slots=True)
class SliceFile:
    """Byte source of a safetensors file of one slice: `head`, then the slice's elements."""

    evaluator: Evaluator
    tensor: int
    slice: Slice
    head: bytes
    etag: str

    @classmethod
    def of(
        cls, evaluator: Evaluator, tensor: int, name: str, picked: Slice, *, etag: str
    ) -> SliceFile:
        """Return the file that contains the slice under `name`."""
        entry = _Entry(name, picked.shape, evaluator.plan.tensors[tensor].dtype)
        file = Layout.of([entry], metadata={"format": "pt"}).files["model.safetensors"]
        return cls(evaluator, tensor, picked, file.head, etag)

    @property
    def size_bytes(self) -> int:
        return len(self.head) + self.slice.numel * self.dtype.itemsize

    @property
    def is_light(self) -> bool:
        return False  # Elements between those of the slice may be generated too.

    @property
    def dtype(self) -> DType:
        return self.evaluator.plan.tensors[self.tensor].dtype

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Read bytes [start, stop) of the file into `out`, which may have any alignment."""
        literal = self.head[start:stop]
        out[: len(literal)] = np.frombuffer(literal, np.uint8)
        rest = out[len(literal) :]  # A span that begins inside the head may misalign it.
        first, last = (max(at - len(self.head), 0) for at in (start, stop))
        read_slice(self.evaluator, self.tensor, self.slice, first, last, rest)

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) into ranges of at most `nbytes`, or fewer if they are costly.

        No range generates much more than PIECE_ELEMENTS, and only `start` and `stop` may lie
        inside an element.
        """
        head, size = len(self.head), self.dtype.itemsize
        step = size * min(max(nbytes // size, 1), self.piece_elements)
        while start < stop:
            last = min(stop, head + (max(start - head, 0) // step + 1) * step)
            yield start, last
            start = last

    @property
    def piece_elements(self) -> int:
        """Elements of the slice per job, which generates about PIECE_ELEMENTS for them."""
        return piece_elements(self.evaluator, self.tensor, self.slice)

    def whole_tensors(self, start: int, stop: int) -> list[WholeTensor]:
        """Return the whole tensors that bytes [start, stop) of the file depend on."""
        head, size = len(self.head), self.dtype.itemsize
        return self.whole_tensors_of_elements(
            max(start - head, 0) // size, -(-max(stop - head, 0) // size)
        )

    def whole_tensors_of_elements(self, start: int, stop: int) -> list[WholeTensor]:
        """Return the whole tensors that elements [start, stop) of the slice depend on."""
        return whole_tensors_of_slice(self.evaluator, self.tensor, self.slice, start, stop)

    def elements(self, start: int, stop: int, out: ByteArray) -> None:
        """Generate elements [start, stop) of the slice, little-endian, into the aligned `out`."""
        fill_slice(self.evaluator, self.tensor, self.slice, start, stop, out)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Tensor to lay out."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    aliases: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


async def numbers(engine: Engine, file: SliceFile) -> Any:
    """Return the slice's elements as nested lists of JSON numbers, exact to the last bit.

    Non-finite numbers become the strings "NaN", "Infinity" and "-Infinity"; complex numbers
    become [real, imaginary]. The elements are generated piece by piece; cancellation stops
    after the pieces that have begun.
    """
    values = torch.empty(file.slice.shape, dtype=file.dtype.torch)
    async with aclosing(engine.ordered(_jobs(file, values), ahead=PIECES_AHEAD)) as done:
        async for _ in done:
            pass
    return await engine.run(partial(_listed, values))


def _jobs(file: SliceFile, values: torch.Tensor) -> Iterator[Job[None]]:
    """Yield the jobs that fill `values`, the whole slice, piece by piece."""
    step, flat = file.piece_elements, values.view(-1)
    for start in range(0, len(flat), step):
        stop = min(start + step, len(flat))
        out = flat[start:stop].view(torch.uint8).numpy()
        whole_tensors = file.whole_tensors_of_elements(start, stop)
        yield Job(partial(file.elements, start, stop, out), whole_tensors)


def _listed(values: torch.Tensor) -> Any:
    if values.is_complex():
        values = torch.view_as_real(values)
    if not values.is_floating_point():
        return values.tolist()
    wide = values.to(torch.float64)  # Exact, and the decimal form of a binary64 round-trips.
    listed = wide.tolist()
    return listed if bool(wide.isfinite().all()) else _worded(listed)


def _worded(value: Any) -> Any:
    if isinstance(value, list):
        return [_worded(item) for item in value]
    if math.isnan(value):
        return "NaN"
    return {np.inf: "Infinity", -np.inf: "-Infinity"}.get(value, value)
