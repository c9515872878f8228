"""NaN as bits: whatever arithmetic gave it, a file holds the one pattern of its dtype.

IEEE 754 leaves a NaN's sign and payload open, and processors differ: x86 gives infinity times
zero the sign bit and Arm does not, and a conversion to bfloat16 by vectors another pattern than one
by scalars. The patterns here are those of `torch.nan` converted on a CPU without vectors.
"""

from __future__ import annotations

import torch

from models.dtypes import DType
from models.program import Literal, Norms, Program, Split

PATTERNS = {
    "float64": 0x7FF8_0000_0000_0000,
    "float32": 0x7FC0_0000,
    "bfloat16": 0x7FC0,
    "float16": 0x7E00,
    "float8_e4m3fn": 0x7F,
    "float8_e5m2": 0x7F,
    "float8_e4m3fnuz": -0x80,
    "float8_e5m2fnuz": -0x80,
    "float8_e8m0fnu": -0x01,
}
"""By dtype, as a signed integer of its size. Dtypes that are not floating have none."""

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def may_have(program: Program) -> bool:
    """Whether a program may give NaN: plain draws, constants and identities never do."""
    source = program.source
    if isinstance(source, Split):
        return bool(program.transforms) or any(may_have(part.program) for part in source.parts)
    return bool(program.transforms) or isinstance(source, Literal | Norms)


def settle(out: torch.Tensor, values: torch.Tensor, dtype: DType) -> None:
    """Gives `out` of `dtype` the one pattern wherever `values`, which it was made of, are NaN."""
    nan = values.isnan()
    # On a device the answer would have to be waited for.
    if values.device.type != "cpu" or nan.any():
        out.view(_BITS[dtype.itemsize]).masked_fill_(nan, PATTERNS[dtype.name])
