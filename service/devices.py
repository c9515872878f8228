"""Devices that generate elements: their names, and whether they are there."""

from __future__ import annotations

from typing import Literal

from seedpoint.models.errors import PlatformMismatch

Device = Literal["auto", "cpu", "cuda"]


def resolve_device(wanted: Device | str) -> str:
    """Return the device, for `auto` a GPU if there is one.

    Raises: PlatformMismatch, if the device is not available.
    """
    if wanted == "cpu":
        return wanted
    import torch  # slow, and the command line needs only the names

    if wanted == "cuda" and not torch.cuda.is_available():
        raise PlatformMismatch("no CUDA device is available; use --device auto or cpu")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
