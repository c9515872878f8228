"""timm and torchvision for tests: installed, or in the separate folder of `make test`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from seedpoint.models.architectures import optional_libraries

# Separate, because importing PyPI's torchvision next to a torch without CUDA fails, unless
# `optional_libraries.load_torchvision` has prepared the import.
APART = Path(sys.prefix) / "vision"


def load() -> None:
    """Import both libraries; skip the test if they are not installed."""
    if find_spec("timm") is None and APART.is_dir():
        sys.path.append(str(APART))
        optional_libraries.is_installed.cache_clear()
        optional_libraries.load_torchvision.cache_clear()
    if not optional_libraries.is_installed("timm"):
        pytest.skip("timm and torchvision are not installed")
    optional_libraries.require("timm", "architecture")
