"""Examples under each generator."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import nn

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec
from tests.support.places import EXAMPLES

SEED = 42


def example(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return document


def by(name: str, generator: str) -> dict[str, Any]:
    """The example under another generator."""
    document = example(name)
    document["init"]["generator"] = generator
    return document


def sequential(document: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Every tensor of a spec under generator `torch` or `numpy`."""
    spec = parse_spec(document)
    return materialize(spec, make_plan(spec, platform=platform()))


def file_bytes(document: dict[str, Any]) -> bytes:
    """The file of a spec under `philox-v1`."""
    planned = make_plan(parse_spec(document))
    file = layout(planned.plan).files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    Evaluator(planned.plan, planned.blobs).read(file, 0, file.size_bytes, out)
    return out.tobytes()


def assert_same_bits(found: dict[str, torch.Tensor], module: nn.Module) -> None:
    expected = module.state_dict()
    assert set(found) <= set(expected)
    for name, value in found.items():
        assert value.dtype == expected[name].dtype, name
        assert value.numpy().tobytes() == expected[name].numpy().tobytes(), name
