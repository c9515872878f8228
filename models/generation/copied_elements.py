"""Elements that a tensor copies from a blob of its own dtype: they stay the same, bit for bit.

Values pass through float32, which rounds float64 in a tensor with draws and makes one pattern of
every NaN. A whole tensor without transforms is therefore read into place, and the parts of a split
are put back as patterns, which are integers of the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.generation.sources import Sources
from seedpoint.models.plan.blob import Blob
from seedpoint.models.plan.inner_sources import inner_sources
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Constant, Program, Source, Split

_PATTERNS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def copied(program: Program, dtype: DType) -> Blob | None:
    """Return the blob's tensor whose bytes are those of `program` in `dtype`; None if none is."""
    source = program.source
    is_copy = isinstance(source, Blob) and source.dtype == dtype.name and not program.transforms
    return source if is_copy and isinstance(source, Blob) else None


@dataclass(frozen=True, slots=True)
class CopiedParts:
    """Parts of a split tensor that are copies: programs of their patterns, and of their places.

    Elsewhere both are zero.
    """

    patterns: Program
    places: Program
    integer: DType

    @classmethod
    def of(cls, tensor: PlanTensor) -> CopiedParts | None:
        """Return the parts of a floating tensor that are copies; None if there are none."""
        program, dtype = tensor.program, tensor.dtype
        if program.transforms or not isinstance(program.source, Split) or not dtype.is_floating:
            return None
        if not any(isinstance(source, Blob) for source in inner_sources(program)):
            return None
        integer = BY_NAME[_PATTERNS[dtype.itemsize]]
        patterns = _mapped(program, dtype, lambda blob: replace(blob, dtype=integer.name))
        places = _mapped(program, dtype, lambda _: Constant(value=True))
        return cls(patterns, places, integer)

    def restore(
        self, sources: Sources, tensor: PlanTensor, start: int, out: npt.NDArray[np.uint8]
    ) -> None:
        """Put the copies back into `out`, which holds the tensor's bytes from element `start`."""
        found = torch.from_numpy(out).view(self.integer.torch)
        stop = start + len(found)
        patterns, places = torch.empty_like(found), torch.empty_like(found, dtype=torch.bool)
        for program, values in ((self.patterns, patterns), (self.places, places)):
            sources.values(program, tensor.name, tensor.shape, start, stop, values)
        found.copy_(torch.where(places, patterns, found))


def _mapped(program: Program, dtype: DType, of_blob: Callable[[Blob], Source]) -> Program:
    """Return a program with `of_blob` for each copy, and with zeros elsewhere."""
    source = program.source
    if (blob := copied(program, dtype)) is not None:
        return Program(of_blob(blob))
    if isinstance(source, Split) and not program.transforms:
        parts = (
            replace(part, program=_mapped(part.program, dtype, of_blob)) for part in source.parts
        )
        return Program(replace(source, parts=tuple(parts), base=None))
    return Program(Constant(value=False))
