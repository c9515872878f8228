"""Numbers of four bits, float4_e2m1fn, two in a byte: the first in its lower half.

That is the order of PyTorch (`torch.float4_e2m1fn_x2`) and of safetensors (`F4`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FLOAT4 = "float4_e2m1fn_x2"
Raw = npt.NDArray[np.uint8]

_MAGNITUDES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], np.float32)
VALUES = np.concatenate([_MAGNITUDES, -_MAGNITUDES])
"""Numbers by pattern; the highest of the four bits is the sign."""


def packed(patterns: Raw) -> Raw:
    """Return the bytes of an even number of patterns."""
    joined: Raw = patterns[0::2] | patterns[1::2] << np.uint8(4)
    return joined


def patterns(raw: Raw) -> Raw:
    """Return the patterns in `raw`, two for each byte."""
    found = np.empty(2 * len(raw), np.uint8)
    found[0::2], found[1::2] = raw & 15, raw >> 4
    return found


def numbers(raw: Raw) -> npt.NDArray[np.float32]:
    """Return the numbers in `raw` as float32, two for each byte."""
    return VALUES[patterns(raw)]
