"""timm and torchvision for tests: installed, or apart, as `make test` has them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from seedpoint.models.architectures import optional_libraries

# Apart, because whatever imports PyPI's torchvision beside a torch without CUDA fails, unless it
# is prepared as `extras.load_torchvision` prepares it.
APART = Path(sys.prefix) / "vision"


def load() -> None:
    """Imports both; skips the test where they are not installed."""
    if find_spec("timm") is None and APART.is_dir():
        sys.path.append(str(APART))
        optional_libraries.is_installed.cache_clear()
        optional_libraries.load_torchvision.cache_clear()
    if not optional_libraries.is_installed("timm"):
        pytest.skip("timm and torchvision are not installed")
    optional_libraries.require("timm", "architecture")
