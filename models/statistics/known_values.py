"""Tensors whose every element is known: constants, given values, identities."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.files.blobs import NO_BLOBS, Blobs, elements
from seedpoint.models.plan.program import (
    Blob,
    Constant,
    Eye,
    FillRegion,
    Formula,
    Literal,
    Materialized,
    Program,
    SetElement,
    ZeroRows,
)
from seedpoint.models.statistics.grids import numbers
from seedpoint.models.stream import reference
from seedpoint.models.stream.apply_transforms import apply
from seedpoint.models.stream.float4 import FLOAT4

Shape = tuple[int, ...]
Array = np.ndarray[Any, np.dtype[Any]]

_PLACED = (ZeroRows, SetElement, FillRegion)  # transforms that integers take too


@dataclass(frozen=True, slots=True)
class Known:
    """The elements of a tensor of `shape` and `dtype`, any range of them at a time.

    `blob` holds those of a literal, of `given` dtype; those of a tensor in a blob are read from
    `blob_files`.
    """

    program: Program
    shape: Shape
    dtype: DType
    given: DType
    blob: Any = b""
    blob_files: Blobs = NO_BLOBS

    def values(self, start: int, stop: int) -> torch.Tensor:
        """Return elements [start, stop), converted as STREAM says; four bits become float32."""
        found, transforms = self._source(start, stop), self.program.transforms
        if isinstance(self.program.source, Formula) and self.dtype.is_floating:
            wide = self.dtype.name == "float64"
            found = found.to(torch.float64 if wide else torch.float32)
            apply(transforms, found, start, self.shape)
            transforms = ()
        if self.dtype.is_narrow and found.dtype != self.dtype.torch:
            patterns = reference.convert(found.to(torch.float32), self.dtype.name)
            if self.dtype.name == FLOAT4:
                return numbers(patterns, self.dtype)
            found = patterns.view(self.dtype.torch)
        found = found.to(self.dtype.torch)
        apply(transforms, found, start, self.shape)
        return found

    def _source(self, start: int, stop: int) -> torch.Tensor:
        match self.program.source:
            case Constant(value=value):
                return torch.full((stop - start,), value, dtype=self.dtype.torch)
            case Eye():
                places, width = torch.arange(start, stop), self.shape[1]
                return (places // width == places % width).to(torch.float32)
            case Formula() as formula:
                return formula.values(start, stop, self.shape)
            case Blob() as blob:
                return elements(self.blob_files, blob, start, stop)
            case _:
                size = self.given.itemsize
                raw = bytearray(memoryview(self.blob)[start * size : stop * size])
                return torch.frombuffer(raw, dtype=self.given.torch)


def known(
    program: Program,
    shape: Shape,
    dtype: DType,
    blobs: Mapping[str, Any],
    blob_files: Blobs | None = None,
) -> Known | None:
    """Return the elements that `program` gives; None for draws, and for transformed floats.

    Floating constants are judged by their moments, which say the same. `blobs` holds literals, and
    `blob_files` reads blobs; a materialized tensor does not need them any more.
    """
    if isinstance(program.source, Materialized):
        return known(program.source.shown, shape, dtype, blobs)
    is_plain = not program.transforms
    is_placed = all(isinstance(transform, _PLACED) for transform in program.transforms)
    is_formula = isinstance(program.source, Formula)
    if not math.prod(shape) or not (is_plain or is_formula if dtype.is_floating else is_placed):
        return None
    match program.source:
        case Constant(value=value) if not dtype.is_floating or abs(value) == math.inf:
            return Known(program, shape, dtype, dtype)
        case Eye() | Formula():
            return Known(program, shape, dtype, dtype)
        case Literal(sha256=sha256, dtype=name):
            given, blob = BY_NAME[name], blobs.get(sha256)
            whole = blob is not None and len(blob) == given.itemsize * math.prod(shape)
            return Known(program, shape, dtype, given, blob) if whole else None
        case Blob(dtype=name) if blob_files is not None:
            return Known(program, shape, dtype, BY_NAME[name], blob_files=blob_files)
        case _:
            return None


class Comparison:
    """Counter of elements that differ from the known ones, block by block, from any threads."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._compared = 0
        self._different = 0
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Return whether every element has been compared."""
        return self._compared == math.prod(self._known.shape)

    @property
    def different(self) -> int:
        """The number of elements that differ.

        Raises:
            ValueError: When elements are missing.
        """
        if not self.done:
            raise ValueError("not every block has come")
        return self._different

    def add(self, start: int, raw: Array) -> None:
        """Compare the elements from `start` on, given as their bytes."""
        dtype, patterns = self._known.dtype, torch.from_numpy(raw)
        found = numbers(patterns, dtype) if dtype.name == FLOAT4 else patterns.view(dtype.torch)
        count = _different(found, self._known.values(start, start + len(found)))
        with self._lock:
            self._compared += len(found)
            self._different += count


def _different(found: torch.Tensor, known: torch.Tensor) -> int:
    """Return how many elements differ; all NaN are one value, and so are both zeros."""
    if found.dtype.is_floating_point and found.dtype.itemsize == 1:
        found, known = found.float(), known.float()
    same = found == known
    if found.dtype.is_floating_point or found.dtype.is_complex:
        same |= found.isnan() & known.isnan()
    return int(torch.count_nonzero(~same))
