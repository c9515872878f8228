"""Canonical NaN bits: a file holds one NaN pattern per dtype, whatever arithmetic produced it.

IEEE 754 leaves a NaN's sign and payload open, and processors differ: x86 gives infinity times zero
the sign bit and Arm does not. The patterns here are those of `torch.nan`.
"""

from __future__ import annotations

import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.plan.program import (
    Blob,
    Copy,
    Formula,
    Literal,
    Norms,
    Program,
    SingularVector,
    Split,
    Sum,
)

PATTERNS = {"float64": 0x7FF8_0000_0000_0000, "float32": 0x7FC0_0000}
"""NaN patterns by dtype.

Conversion sets the patterns of narrower dtypes (`models.stream.formats`).
"""

_BITS = {4: torch.int32, 8: torch.int64}


def may_have(program: Program) -> bool:
    """Return whether a program can produce NaN: plain draws, constants and identities never do."""
    source = program.source
    if isinstance(source, Split):
        inner = [part.program for part in source.parts]
        inner += [] if source.base is None else [source.base]
        return bool(program.transforms) or any(map(may_have, inner))
    return bool(program.transforms) or isinstance(
        source, Literal | Blob | Norms | SingularVector | Formula | Sum | Copy
    )


def settle(out: torch.Tensor, values: torch.Tensor, dtype: DType) -> None:
    """Write the canonical NaN to `out` of `dtype` wherever `values`, its source, are NaN."""
    nan = values.isnan()
    # On a device, the check would wait for its result.
    if values.device.type != "cpu" or nan.any():
        out.view(_BITS[dtype.itemsize]).masked_fill_(nan, PATTERNS[dtype.name])
