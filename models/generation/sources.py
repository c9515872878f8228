"""Evaluation of sources: any range of a tensor before its transforms.

Every function computes elements [start, stop), row-major, as a one-dimensional tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.blobs import NO_BLOBS, Blobs, elements
from seedpoint.models.generation.copies import Limits, Tile, tiles
from seedpoint.models.generation.device_draws import Draws
from seedpoint.models.generation.identities import write_dirac, write_ones
from seedpoint.models.generation.split_parts import parts_between, touched_parts
from seedpoint.models.generation.whole_tensors import WholeCuts, WholeMatrix, Wholes, WholeTensor
from seedpoint.models.plan.program import (
    Base,
    Blob,
    Constant,
    Copy,
    Dirac,
    Eye,
    Formula,
    Literal,
    Norms,
    Orthogonal,
    Part,
    Program,
    SingularVector,
    Source,
    Sparse,
    Split,
    Sum,
    Whole,
)
from seedpoint.models.plan.transforms import Positional
from seedpoint.models.stream.apply_transforms import apply
from seedpoint.models.stream.cuts import zeros_per_column
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.norms import column_norms, row_norms
from seedpoint.models.stream.power_iteration import singular_vectors
from seedpoint.models.stream.sparse import sparse_range

Shape = tuple[int, ...]

# Elements between those of a copy that are generated rather than skipped.
DRAWN_GAP_ELEMENTS = 64  # of a draw, whose kernel skips them in about this time
GAP_ELEMENTS = 2048  # of others, which need a call for each run


@dataclass(frozen=True, slots=True)
class Sources:
    """Evaluator of the sources of one plan."""

    seed: int
    blobs: Mapping[str, Any]
    draws: Draws
    wholes: Wholes
    blob_files: Blobs = NO_BLOBS

    def values(
        self, program: Program, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        """Write elements [start, stop) of `program` to `out`, with transforms applied.

        `name` is the random stream of draws that name none themselves.
        """
        self._source(program.source, name, shape, start, stop, out)
        apply(program.transforms, out, start, shape)

    def whole_tensors(
        self, program: Program, name: str, shape: Shape, start: int, stop: int
    ) -> Iterator[WholeTensor]:
        """Yield the whole tensors needed for elements [start, stop) of `program`, or a superset."""
        source = program.source
        if start >= stop:
            return
        if isinstance(source, Whole):
            yield self._whole_tensor(source, name, shape)
        if isinstance(source, Norms):
            yield from self.whole_tensors(source.of, name, source.shape, 0, math.prod(source.shape))
        if isinstance(source, Copy):
            yield from self.whole_tensors(
                source.of, source.name, source.shape, 0, math.prod(source.shape)
            )
        if isinstance(source, Sum):
            for term in source.terms:
                yield from self.whole_tensors(term, name, shape, start, stop)
        if isinstance(source, SingularVector):
            rows, columns = source.matrix
            yield from self.whole_tensors(source.of, name, source.shape, 0, rows * columns)
            yield from self.whole_tensors(source.start, name, (columns,), 0, columns)
        if isinstance(source, Split):
            if source.base is not None:
                yield from self.whole_tensors(source.base, name, shape, start, stop)
            name = source.stream or name
            for number, part in touched_parts(source, shape, start, stop):
                inner = source.shape_of(part, shape)
                yield from self.whole_tensors(
                    part.program, f"{name}#{number}", inner, 0, math.prod(inner)
                )

    def _whole_tensor(self, source: Whole, name: str, shape: Shape) -> WholeTensor:
        key = derive_key(self.seed, source.stream or name)
        if isinstance(source, Orthogonal):
            matrix = source.matrix(shape)
            return WholeMatrix(key, source.draw, matrix, float(source.gain).hex())
        rows, columns = shape
        zeros = zeros_per_column(rows, source.sparsity)
        return WholeCuts(key, source.draw, (rows, columns), zeros)

    def _source(
        self, source: Source, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        match source:
            case Draw():
                self.draws.fill(source, derive_key(self.seed, source.stream or name), start, out)
            case Constant(value=value):
                out.fill_(value)
            case Literal():
                out.copy_(self._literal(source, start, stop))
            case Blob():
                out.copy_(elements(self.blob_files, source, start, stop).to(out.dtype))
            case Eye():
                write_ones(out, start, range(0, shape[0] * shape[1], shape[1] + 1)[: shape[1]])
            case Formula():
                out.copy_(source.values(start, stop, shape, device=out.device))
            case Dirac(groups=groups):
                write_dirac(out, start, shape, groups)
            case _:
                self._combined(source, name, shape, start, stop, out)

    def _combined(
        self, source: Source, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        """Compute a source that consists of others, or depends on more than the range."""
        match source:
            case Orthogonal():
                whole = self._whole_tensor(source, name, shape)
                assert isinstance(whole, WholeMatrix)
                out.copy_(torch.from_numpy(self.wholes.matrix(whole)[start:stop]))
            case Sparse():
                self._sparse(source, name, shape, start, out)
            case Split():
                self._split(source, name, shape, start, stop, out)
            case Sum():
                self._sum(source, name, shape, start, stop, out)
            case Copy():
                self._copy(source, shape, start, stop, out)
            case Norms():
                self._norms(source, name, start, stop, out)
            case SingularVector():
                out.copy_(torch.from_numpy(self._singular_vector(source, name)[start:stop]))
            case _:
                raise AssertionError(f"{source.type} cannot be evaluated element by element")

    def _sparse(
        self, source: Sparse, name: str, shape: Shape, start: int, out: torch.Tensor
    ) -> None:
        whole = self._whole_tensor(source, name, shape)
        assert isinstance(whole, WholeCuts)
        cuts, columns = self.wholes.cuts(whole), shape[1]
        values = np.empty(len(out), np.float32)
        sparse_range(values, whole.key, source.draw, start, columns, source.f32[0], cuts)
        out.copy_(torch.from_numpy(values))

    def _literal(self, source: Literal, start: int, stop: int) -> torch.Tensor:
        dtype = BY_NAME[source.dtype]
        raw = memoryview(self.blobs[source.sha256])[start * dtype.itemsize : stop * dtype.itemsize]
        return torch.frombuffer(bytearray(raw), dtype=dtype.torch) if raw else torch.empty(0)

    def _array(
        self, program: Program, name: str, shape: Shape, first: int, last: int
    ) -> npt.NDArray[np.float32]:
        """Return elements [first, last) of a program in host memory."""
        made = torch.empty(last - first, dtype=torch.float32, device=self.draws.device)
        self.values(program, name, shape, first, last, made)
        found: npt.NDArray[np.float32] = made.cpu().numpy()
        return found

    def _singular_vector(self, source: SingularVector, name: str) -> npt.NDArray[np.float64]:
        rows, columns = source.matrix
        matrix = self._array(source.of, name, source.shape, 0, rows * columns)
        start = self._array(source.start, name, (columns,), 0, columns)
        vectors = singular_vectors(
            matrix.reshape(rows, columns), start, source.iterations, source.eps
        )
        return vectors[source.axis]

    def _norms(self, source: Norms, name: str, start: int, stop: int, out: torch.Tensor) -> None:
        def values(first: int, last: int) -> npt.NDArray[np.float32]:
            return self._array(source.of, name, source.shape, first, last)

        rows, columns = source.matrix
        if source.axis == 0:
            found = row_norms(values, columns, start, stop)
        else:
            found = column_norms(values, rows, columns)[start:stop]
        out.copy_(torch.from_numpy(found))

    def _sum(
        self, source: Sum, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        first, *others = source.terms
        self.values(first, name, shape, start, stop, out)
        values = torch.empty_like(out)
        for term in others:
            self.values(term, name, shape, start, stop, values)
            out.add_(values)

    def _copy(self, source: Copy, shape: Shape, start: int, stop: int, out: torch.Tensor) -> None:
        """Generate tiles of the other tensor, and copy their elements into place."""
        of = source.of
        positional = any(isinstance(transform, Positional) for transform in of.transforms)
        is_draw = isinstance(of.source, Draw) and not positional
        gap = DRAWN_GAP_ELEMENTS if is_draw else GAP_ELEMENTS
        limits = Limits(self.draws.tile_elements, gap)
        buffer = out.new_empty(0)
        for tile in tiles(source, shape, start, stop, limits):
            if tile.is_in_order:
                into = out[tile.target : tile.target + tile.run]
                self.values(of, source.name, source.shape, tile.first, tile.first + tile.run, into)
                continue
            if len(buffer) < tile.runs * tile.pitch:
                buffer = out.new_empty(tile.runs * tile.pitch)
            runs = buffer[: tile.runs * tile.pitch].view(tile.runs, tile.pitch)
            if is_draw:
                self._draw_runs(of, source.name, tile, runs)
            else:
                for number, row in enumerate(runs):
                    first = tile.first + number * tile.step
                    last = first + tile.run
                    self.values(of, source.name, source.shape, first, last, row[: tile.run])
            place = out.storage_offset() + tile.target
            values = runs.as_strided(tile.sizes, tile.strides)
            out.as_strided(tile.sizes, tile.target_strides, place).copy_(values)

    def _draw_runs(self, program: Program, name: str, tile: Tile, out: torch.Tensor) -> None:
        """Write the runs of a draw, with its transforms, to the rows of `out`."""
        source = program.source
        assert isinstance(source, Draw)
        key = derive_key(self.seed, source.stream or name)
        self.draws.fill_runs(source, key, tile.first, tile.step, tile.run, out)
        apply(program.transforms, out.view(-1), 0, tuple(out.shape))

    def _split(
        self, split: Split, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        """Compute each part over the touched rows (the axes before the split axis).

        For more than two rows, each part is generated over all of them at once and copied into
        place, instead of row by row.
        """
        row = math.prod(shape[split.axis :])
        first, last = start // row, -(-stop // row)
        if last - first > 2:
            self._rows(split, name, shape, start, stop, out)
            return
        if split.base is not None:
            self.values(split.base, name, shape, start, stop, out)
        name = split.stream or name
        for index in range(first, last):
            low, high = max(start, index * row), min(stop, (index + 1) * row)
            for number, part, offset in parts_between(
                split, shape, low - index * row, high - index * row
            ):
                width = row // shape[split.axis] * part.size
                begin = max(low, index * row + offset)
                end = min(high, index * row + offset + width)
                shift = index * row + offset - index * width
                target = out[begin - start : end - start]
                inner = split.shape_of(part, shape)
                self._part(part, f"{name}#{number}", inner, begin - shift, end - shift, target)

    def _rows(
        self, split: Split, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        row = math.prod(shape[split.axis :])
        first, last = start // row, -(-stop // row)
        rows = out.new_empty((last - first, row))
        if split.base is not None:
            self.values(split.base, name, shape, first * row, last * row, rows.view(-1))
        name = split.stream or name
        for number, part, offset in parts_between(split, shape, 0, row):
            width = row // shape[split.axis] * part.size
            values = rows[:, offset : offset + width].contiguous().view(-1)
            inner = split.shape_of(part, shape)
            self._part(part, f"{name}#{number}", inner, first * width, last * width, values)
            rows[:, offset : offset + width] = values.view(last - first, width)
        out.copy_(rows.view(-1)[start - first * row : stop - first * row])

    def _part(
        self, part: Part, name: str, shape: Shape, start: int, stop: int, out: torch.Tensor
    ) -> None:
        """Write elements [start, stop) of a part; `out` holds those of the base."""
        if isinstance(part.program.source, Base):
            apply(part.program.transforms, out, start, shape)
        else:
            self.values(part.program, name, shape, start, stop, out)
