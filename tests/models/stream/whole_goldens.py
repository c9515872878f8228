"""Goldens of whole tensors: what is kept of each, and its test's name."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def shown(values: Floats) -> tuple[str, list[str]]:
    """Return the golden of a tensor: its SHA-256, and the bits of its first elements."""
    little = np.ascontiguousarray(values, "<f4")
    first = [f"{bits:08x}" for bits in little.reshape(-1)[:4].view("<u4")]
    return hashlib.sha256(little.tobytes()).hexdigest(), first


def case_id(case: dict[str, Any]) -> str:
    return f"{'x'.join(map(str, case['shape']))}-{case['draw']}"
