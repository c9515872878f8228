"""Plans and files of models of timm and torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec


def planned(architecture: dict[str, Any], **more: Any) -> Planned:
    return make_plan(parse_spec({"architecture": architecture, **more}), platform=platform())


def issue(made: Planned, folder: Path) -> Path:
    """Writes every file of a plan; the path of its weights."""
    evaluator = Evaluator(made.plan, made.blobs)
    for name, file in layout(made.plan).files.items():
        out = np.empty(file.size_bytes, np.uint8)
        evaluator.read(file, 0, file.size_bytes, out)
        (folder / name).write_bytes(out.tobytes())
    return folder / "model.safetensors"


def faults(architecture: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        planned(architecture, **more)
    return [str(fault) for fault in caught.value.faults]
