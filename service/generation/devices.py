"""Device that generates elements."""

from __future__ import annotations

from typing import Literal

import torch

from seedpoint.models.errors import PlatformMismatch


def resolve_device(wanted: Literal["auto", "cpu", "cuda"] | str) -> str:
    """Return `cpu` or `cuda`; `auto` selects a GPU if there is one.

    Raises: PlatformMismatch, if the device is not available.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise PlatformMismatch("no CUDA device is available; use --device auto or cpu")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
