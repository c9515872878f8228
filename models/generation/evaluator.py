"""Evaluation of any element range of a plan's tensors and any byte range of its files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import DType
from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.files.layout import Bytes, File
from seedpoint.models.generation import runs
from seedpoint.models.generation.copied_elements import CopiedParts, copied
from seedpoint.models.generation.device_copy import Staging
from seedpoint.models.generation.device_draws import CpuDraws, Draws
from seedpoint.models.generation.overhead import is_light
from seedpoint.models.generation.runs import Starts
from seedpoint.models.generation.sources import Sources
from seedpoint.models.generation.whole_tensors import Wholes, WholeTensor
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Copy, Materialized, Program
from seedpoint.models.statistics.accumulator import BLOCK_ELEMENTS
from seedpoint.models.stream import cpu, nans
from seedpoint.models.stream.cost import whole_sources
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.rounding import ARRAYS

DEVICE_BLOCK_ELEMENTS = 1 << 20
"""Elements generated at a time on a device.

On a CPU it is a block of statistics, 256 KiB of float32, which stays in L2 cache.
"""

DIRECT_BLOCKS = 64
"""Blocks per kernel call when it writes the final bytes: a few milliseconds of work."""

OBSERVED_BLOCKS = 4
"""Blocks per kernel call when values are observed, so that they are still in L2 cache."""

DIRECT = {"float32": np.dtype(np.float32), **ARRAYS}
"""Array types in which kernels write a dtype's final bytes, by dtype name."""

ByteArray = npt.NDArray[np.uint8]

ReadBytes = Callable[[int, int], "bytes | memoryview"]
"""Function that returns bytes [start, stop) of a stored tensor, little-endian; thread-safe."""


class Observer(Protocol):
    """Consumer of a tensor's final values while they are in cache."""

    def add(self, index: int, raw: npt.NDArray[Any]) -> None:
        """Take the elements from index * BLOCK_ELEMENTS on, as bytes.

        They are whole blocks, except for the tensor's last.
        """


class Evaluator:
    """Evaluator of a plan's tensors by element range.

    `blobs` holds literals by SHA-256. `materialized` holds readers of platform-bound tensors, by
    name, which may raise, and `blob_files` reads blobs, which may raise too. `draws` is the
    implementation of the stream, by default Numba's on the CPU (`draws_on`). `wholes` computes
    whole tensors, and `count` is told how many elements were generated. The result depends on none
    of them, nor on how a tensor is cut into ranges. Instances are thread-safe; CPU work runs
    without the GIL.
    """

    def __init__(
        self,
        plan: Plan,
        blobs: Mapping[str, Any] | None = None,
        materialized: Mapping[str, ReadBytes] | None = None,
        *,
        draws: Draws | None = None,
        wholes: Wholes | None = None,
        count: Callable[[int], object] | None = None,
        blob_files: Blobs = NO_BLOBS,
    ) -> None:
        self.plan = plan
        self.materialized = materialized or {}
        self.sources = Sources(
            plan.seed, blobs or {}, draws or CpuDraws(), wholes or Wholes(), blob_files
        )
        in_place = self.sources.draws.staging is None
        self.block_elements = BLOCK_ELEMENTS if in_place else DEVICE_BLOCK_ELEMENTS
        self._scratch = threading.local()
        self._count = count
        self._copied_parts: dict[tuple[int, DType], CopiedParts | None] = {}  # by program and dtype

    def fill(
        self,
        tensor: int,
        start: int,
        stop: int,
        out: ByteArray,
        observer: Observer | None = None,
    ) -> None:
        """Write elements [start, stop) of tensor number `tensor`, little-endian, to `out`.

        `out` is contiguous, aligned to the item size, and holds (stop - start) elements, which are
        whole items. With an observer, `start` must be a multiple of BLOCK_ELEMENTS, and `stop`
        another or the tensor's end.
        """
        planned = self.plan.tensors[tensor]
        nbytes = planned.dtype.nbytes
        step = self.block_elements
        is_copied = copied(planned.program, planned.dtype) is not None
        if is_copied or self._is_direct(planned):  # Few calls, because each takes the GIL.
            step *= OBSERVED_BLOCKS if observer is not None else DIRECT_BLOCKS
        elif isinstance(planned.program.source, Copy):  # A transposed one reads every row.
            step *= DIRECT_BLOCKS
        pieces = (
            (first, last, out[nbytes(first - start) : nbytes(last - start)])
            for first, last in _blocks(start, stop, step)
        )
        staging = self.sources.draws.staging
        is_read = is_copied or isinstance(planned.program.source, Materialized)
        if staging is not None and not is_read:
            self._from_device(planned, pieces, staging, observer)
        else:
            for first, last, piece in pieces:
                self._block(planned, first, last, piece)
                _observe(observer, first, piece)
        self._generated(stop - start)

    def fill_runs(self, tensor: int, starts: Starts, run: int, out: ByteArray) -> None:
        """Write `run` elements of a tensor from each of `starts` on, one run after another.

        `starts` are ascending, and each run ends before the tensor does. `out` is as for `fill`.
        Short runs of elements that depend on their own index alone take little longer than as many
        consecutive ones; of any other, the elements between them may be generated too.
        """
        planned = self.plan.tensors[tensor]
        if run > runs.LONG_RUN_ELEMENTS:
            size = run * planned.dtype.itemsize
            for number, start in enumerate(starts.tolist()):
                self.fill(tensor, start, start + run, out[number * size : (number + 1) * size])
        elif (
            self.takes_runs(tensor, run)
            and not runs.are_close(starts, run)
            and not runs.cross_parts(planned.program, planned.shape, starts, run)
        ):
            self._runs(planned, starts, run, out)
            self._generated(len(starts) * run)
        else:
            self._cover(tensor, starts, run, out)

    def takes_runs(self, tensor: int, run: int) -> bool:
        """Return whether runs of `run` elements are computed without the elements between them."""
        planned = self.plan.tensors[tensor]
        on_cpu = self.sources.draws.staging is None
        return (
            on_cpu
            and planned.dtype.per_item == 1
            and runs.are_direct(planned.program, planned.shape, run)
        )

    def _runs(self, tensor: PlanTensor, starts: Starts, run: int, out: ByteArray) -> None:
        program, dtype, source = tensor.program, tensor.dtype, tensor.program.source
        if not len(starts):
            return
        if (
            self._is_direct(tensor)
            and isinstance(source, Draw)
            and DIRECT[dtype.name] in cpu.RUN_VALUES
        ):
            key = derive_key(self.plan.seed, source.stream or tensor.name)
            view = out.view(DIRECT[dtype.name])
            cpu.fill_runs(source.type, view, key, source.draw, starts, run, source.f32)
            return
        step = max(1, self.block_elements // run)
        for first in range(0, len(starts), step):
            some = starts[first : first + step]
            size = len(some) * run
            values = self._values_buffer(size, _compute_dtype(program, dtype))
            runs.values(self.sources, program, tensor.name, tensor.shape, some, run, values)
            at = first * run * dtype.itemsize
            self._convert(tensor, values, _view(out[at : at + size * dtype.itemsize], dtype))

    def _generated(self, elements: int) -> None:
        if self._count is not None:
            self._count(elements)

    def _cover(self, tensor: int, starts: Starts, run: int, out: ByteArray) -> None:
        """Generate ranges that cover several runs each, and pick the runs from them."""
        unsigned = np.dtype(f"u{self.plan.tensors[tensor].dtype.itemsize}")
        indices = runs.places(starts, run)
        taken = out.view(unsigned)
        cover = np.empty(runs.COVER_ELEMENTS, unsigned)
        for low, high in runs.covers(indices):
            base, end = int(indices[low]), int(indices[high - 1]) + 1
            self.fill(tensor, base, end, cover[: end - base].view(np.uint8))
            taken[low:high] = cover[indices[low:high] - base]

    def fill_tensor(self, tensor: int, start: int, out: torch.Tensor) -> None:
        """Write elements from `start` on of tensor number `tensor` to `out`, on the draws' device.

        `out` is a contiguous vector of the tensor's dtype. On a GPU the work is queued on the
        current stream, and no value passes through the host's memory.
        """
        if self.sources.draws.staging is None:
            self.fill(tensor, start, start + len(out), out.view(torch.uint8).numpy())
            return
        planned = self.plan.tensors[tensor]
        for first, last in _blocks(start, start + len(out), self.block_elements):
            piece = out[first - start : last - start]
            if isinstance(planned.program.source, Materialized):
                raw = np.empty((last - first) * planned.dtype.itemsize, np.uint8)
                self._block(planned, first, last, raw)
                piece.copy_(_view(raw, planned.dtype))
            else:
                dtype = _compute_dtype(planned.program, planned.dtype)
                values = torch.empty(last - first, dtype=dtype, device=out.device)
                self._values(planned, first, values, piece)

    def read(self, file: File, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) of `file` to `out`, of any alignment."""
        at = 0
        for segment in file.segments(start, stop):
            if isinstance(segment, Bytes):
                size = len(segment.data)
                out[at : at + size] = np.frombuffer(segment.data, np.uint8)
            else:
                size = segment.stop_byte - segment.start_byte
                piece = out[at : at + size]
                self._bytes(segment.tensor, segment.start_byte, segment.stop_byte, piece)
            at += size

    @cached_property
    def is_light(self) -> bool:
        """True if every short range of every tensor takes less than a millisecond.

        Whole tensors count as computed, and materialized ones as read.
        """
        return all(is_light(tensor.program, tensor.shape) for tensor in self.plan.tensors)

    def whole_tensors_of_elements(self, tensor: int, start: int, stop: int) -> list[WholeTensor]:
        """Return the whole tensors needed for elements [start, stop) of a tensor, or a superset."""
        if tensor not in self._with_wholes:
            return []
        found = self.plan.tensors[tensor]
        return list(self.sources.whole_tensors(found.program, found.name, found.shape, start, stop))

    def whole_tensors_of_bytes(self, file: File, start: int, stop: int) -> list[WholeTensor]:
        """Return the whole tensors needed for bytes [start, stop) of `file`, without duplicates."""
        found: dict[WholeTensor, None] = {}
        for entry, first, last in file.within(start, stop) if self._with_wholes else ():
            dtype, base = self.plan.tensors[entry.tensor].dtype, entry.start_byte
            low, high = dtype.covering(first - base, last - base)
            found |= dict.fromkeys(self.whole_tensors_of_elements(entry.tensor, low, high))
        return list(found)

    @cached_property
    def _with_wholes(self) -> frozenset[int]:
        """Numbers of the tensors that depend on whole tensors."""
        return frozenset(
            index
            for index, tensor in enumerate(self.plan.tensors)
            if any(True for _ in whole_sources(tensor.program, tensor.shape))
        )

    def _bytes(self, tensor: int, start_byte: int, stop_byte: int, out: ByteArray) -> None:
        """Write bytes [start_byte, stop_byte) of a tensor, which may begin inside an element."""
        dtype = self.plan.tensors[tensor].dtype
        itemsize = dtype.itemsize
        aligned = out.ctypes.data % itemsize == 0
        if aligned and start_byte % itemsize == 0 and stop_byte % itemsize == 0:
            self.fill(tensor, dtype.elements(start_byte), dtype.elements(stop_byte), out)
            return
        for first, last in _blocks(start_byte, stop_byte, dtype.nbytes(self.block_elements)):
            low, high = dtype.covering(first, last)
            piece = np.empty(dtype.nbytes(high - low), np.uint8)
            self.fill(tensor, low, high, piece)
            skipped = first - dtype.nbytes(low)
            out[first - start_byte : last - start_byte] = piece[skipped : skipped + last - first]

    def _block(self, tensor: PlanTensor, start: int, stop: int, out: ByteArray) -> None:
        program, dtype = tensor.program, tensor.dtype
        if isinstance(program.source, Materialized):
            read = self.materialized[tensor.name]
            out[:] = np.frombuffer(read(dtype.nbytes(start), dtype.nbytes(stop)), np.uint8)
        elif (blob := copied(program, dtype)) is not None:
            self.sources.blob_files.read(blob.sha256, blob.offset + dtype.nbytes(start), out)
        elif self._is_direct(tensor):
            self._draw_into(program, tensor.name, start, out, dtype)
        else:
            values = self._values_buffer(stop - start, _compute_dtype(program, dtype))
            self._values(tensor, start, values, _view(out, dtype))
            parts = self._parts_of(tensor)
            if parts is not None and (dtype.name == "float64" or values.isnan().any()):
                parts.restore(self.sources, tensor, start, out)

    def _from_device(
        self,
        tensor: PlanTensor,
        pieces: Iterable[tuple[int, int, ByteArray]],
        staging: Staging,
        observer: Observer | None,
    ) -> None:
        """Generate the pieces [first, last) on a device; copy each while the next is generated."""
        program, dtype = tensor.program, tensor.dtype
        device, parts = self.sources.draws.device, self._parts_of(tensor)
        try:
            with staging.queue.current():
                for first, last, piece in pieces:
                    size = last - first
                    values = torch.empty(size, dtype=_compute_dtype(program, dtype), device=device)
                    final = torch.empty(size // dtype.per_item, dtype=dtype.torch, device=device)
                    self._values(tensor, first, values, final)
                    landed = partial(self._land, tensor, parts, observer, first, piece)
                    staging.put(final, piece, landed)
                staging.finish()
        finally:
            staging.give_up()

    def _land(
        self,
        tensor: PlanTensor,
        parts: CopiedParts | None,
        observer: Observer | None,
        start: int,
        piece: ByteArray,
    ) -> None:
        """Complete a piece that has come from a device."""
        if parts is not None:
            parts.restore(self.sources, tensor, start, piece)
        _observe(observer, start, piece)

    def _parts_of(self, tensor: PlanTensor) -> CopiedParts | None:
        """Return the parts of a tensor that are copies, found once for each program and dtype."""
        key = (id(tensor.program), tensor.dtype)
        if key not in self._copied_parts:
            self._copied_parts[key] = CopiedParts.of(tensor)
        return self._copied_parts[key]

    def _values(
        self, tensor: PlanTensor, start: int, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Compute elements from `start` on in `values`, then convert them once into `out`."""
        program, stop = tensor.program, start + len(values)
        self.sources.values(program, tensor.name, tensor.shape, start, stop, values)
        self._convert(tensor, values, out)

    def _convert(self, tensor: PlanTensor, values: torch.Tensor, out: torch.Tensor) -> None:
        """Convert computed values once into `out`, of the tensor's dtype."""
        if tensor.dtype.is_narrow:
            self.sources.draws.convert(values, out)
            return
        out.copy_(values)
        if tensor.dtype.is_floating and nans.may_have(tensor.program):
            nans.settle(out, values, tensor.dtype)

    def _is_direct(self, tensor: PlanTensor) -> bool:
        """Return whether a kernel can write the tensor's final bytes itself."""
        program = tensor.program
        plain = isinstance(program.source, Draw) and not program.transforms
        in_place = tensor.dtype.name in DIRECT and isinstance(self.sources.draws, CpuDraws)
        return plain and in_place

    def _draw_into(
        self, program: Program, name: str, start: int, out: ByteArray, dtype: DType
    ) -> None:
        source = program.source
        assert isinstance(source, Draw)
        key = derive_key(self.plan.seed, source.stream or name)
        values = out.view(DIRECT[dtype.name])
        cpu.fill(source.type, values, key, source.draw, start, source.f32)

    def _values_buffer(self, size: int, dtype: torch.dtype) -> torch.Tensor:
        """Return a buffer private to this thread."""
        name = str(dtype)
        buffer: torch.Tensor | None = getattr(self._scratch, name, None)
        if buffer is None or len(buffer) < size:
            buffer = torch.empty(max(size, self.block_elements), dtype=dtype)
            setattr(self._scratch, name, buffer)
        return buffer[:size]


def _compute_dtype(program: Program, dtype: DType) -> torch.dtype:
    """Return the compute dtype: float64 for a float64 tensor without draws, else float32.

    Tensors that are not floating keep their own dtype.
    """
    if not dtype.is_floating:
        return dtype.torch
    return torch.float64 if dtype.name == "float64" and not program.draws else torch.float32


def _blocks(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at the multiples of `size`."""
    while start < stop:
        end = min(stop, (start // size + 1) * size)
        yield start, end
        start = end


def _view(out: ByteArray, dtype: DType) -> torch.Tensor:
    return torch.from_numpy(out).view(dtype.torch)


def _observe(observer: Observer | None, start: int, piece: ByteArray) -> None:
    """Pass the final values to the observer while they are in cache."""
    if observer is not None:
        observer.add(start // BLOCK_ELEMENTS, piece)
