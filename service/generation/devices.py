"""Where elements are generated."""

from __future__ import annotations

from typing import Literal

import torch

from seedpoint.models.errors import PlatformMismatch


def resolve_device(wanted: Literal["auto", "cpu", "cuda"] | str) -> str:
    """`cpu` or `cuda`: what was asked for, `auto` being a GPU when there is one.

    Raises PlatformMismatch when it is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise PlatformMismatch("there is no CUDA device here; use --device auto or cpu")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
