"""Requirements of an untrusted plan, and the fault of one that is not met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from seedpoint.models.files.layout import MAX_FILE_BYTES
from seedpoint.models.verify.header import shown

MAX_NESTED = 16  # depth of splits, norms and `plus` transforms
MAX_STEP = 2**53  # of a region; and bound of rule numbers


def require(holds: bool, fault: str) -> None:
    """Require a condition.

    Raises:
        ValueError: With the message `fault`.
    """
    if not holds:
        raise ValueError(fault)


def require_value(value: Any, dtype: torch.dtype, put: Callable[[torch.Tensor], object]) -> None:
    """Require that torch can put `value` into a tensor of `dtype`, as `put` does.

    Raises:
        ValueError: It cannot.
    """
    try:
        put(torch.empty(1, dtype=dtype))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{shown(value)} is not a value of {dtype}") from None


def is_index(value: Any, size: int) -> bool:
    """Return whether `value` is an integer in [0, size)."""
    return type(value) is int and 0 <= value < size


def is_number(value: Any) -> bool:
    """Return whether `value` is a float, or an integer that files may hold."""
    return type(value) is float or (type(value) is int and abs(value) <= MAX_FILE_BYTES)
