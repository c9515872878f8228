"""Where elements are generated."""

from __future__ import annotations

from typing import Literal

import torch


def resolve_device(wanted: Literal["auto", "cpu", "cuda"] | str) -> str:
    """`cpu` or `cuda`: what was asked for, `auto` being a GPU when there is one."""
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
