"""Reports about trees: parameters beside children, a library's backbone, weight norm."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec
from tests.support import vision
from tests.support.places import ROOT

REPORTS = ROOT / "tests" / "reports"


def report(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((REPORTS / f"{name}.json").read_text())
    return document


def as_a_script(document: dict[str, Any], seed: int = 5) -> dict[str, torch.Tensor]:
    init = {**document.get("init", {}), "seed": seed, "generator": "torch"}
    spec = parse_spec({**document, "init": init})
    return materialize(spec, make_plan(spec, platform=platform()))


def planned(document: dict[str, Any]) -> Planned:
    return make_plan(parse_spec(document))


def issued(document: dict[str, Any]) -> dict[str, torch.Tensor]:
    made = planned(document)
    file = layout(made.plan).files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    Evaluator(made.plan, made.blobs).read(file, 0, file.size_bytes, out)
    return load(out.tobytes())


def assert_equal(found: dict[str, torch.Tensor], module: nn.Module) -> None:
    expected = module.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_17_a_class_token_beside_a_projection() -> None:
    document = report("17-module-parameters")

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cls_token = nn.Parameter(torch.empty(1, 1, 8))
            self.proj = nn.Linear(4, 8)
            nn.init.trunc_normal_(self.cls_token, std=0.02)

    torch.manual_seed(5)
    module = Patches()
    assert_equal(as_a_script(document), module)
    shapes = {tensor.name: tensor.shape for tensor in planned(document).plan.tensors}
    assert shapes == {"cls_token": (1, 1, 8), "proj.weight": (8, 4), "proj.bias": (8,)}


def test_19_a_library_s_backbone_with_a_head_of_one_s_own() -> None:
    vision.load()
    from timm import create_model

    document = report("19-backbone-and-head")
    torch.manual_seed(5)
    module = nn.Module()
    module.backbone = create_model("resnet18", num_classes=0)
    module.head = nn.Linear(512, 10)
    assert_equal(as_a_script(document), module)
    alone = planned({"architecture": document["architecture"]["children"]["backbone"]}).plan
    inside = planned(document).plan
    assert not inside.files  # a config.json would describe the backbone alone
    programs = {tensor.name: tensor.program for tensor in inside.tensors}
    for tensor in alone.tensors:
        assert programs[f"backbone.{tensor.name}"] == tensor.program


def test_22_weight_norm_under_torch_s_names_and_own_init() -> None:
    document = report("22-weight-norm")
    torch.manual_seed(5)
    module = parametrizations.weight_norm(nn.Linear(4, 3))
    assert_equal(as_a_script(document), module)
    values = issued(document)
    direction = values["parametrizations.weight.original1"]
    norms = torch.linalg.vector_norm(direction.double(), dim=1, keepdim=True)
    assert torch.equal(values["parametrizations.weight.original0"], norms.float())
    assert direction.abs().max() <= 0.5  # 1/sqrt(fan_in): Linear's own init


def test_22_spectral_norm_under_torch_s_names_and_own_init() -> None:
    layer = {"type": "Conv2d", "in_channels": 8, "out_channels": 16, "kernel_size": 3}
    document = {
        "architecture": {**layer, "parametrizations": {"weight": {"type": "spectral_norm"}}}
    }
    torch.manual_seed(5)
    module = parametrizations.spectral_norm(nn.Conv2d(8, 16, 3))
    assert_equal(as_a_script(document), module)
    values = issued(document)
    module.load_state_dict(values, strict=True)
    matrix = values["parametrizations.weight.original"].flatten(1).double()
    left = values["parametrizations.weight.0._u"].double()
    right = values["parametrizations.weight.0._v"].double()
    again = nn.functional.normalize(matrix.T @ left, dim=0)
    assert torch.allclose(right, again, atol=1e-6)
    assert torch.linalg.vector_norm(left).item() == pytest.approx(1, abs=1e-6)
    sigma = torch.linalg.matrix_norm(module.eval().weight.flatten(1), 2).item()
    assert 0.999 < sigma < 1.2  # 16 iterations approach the norm from below


def test_22_every_range_of_the_vectors_is_the_whole_s() -> None:
    linear = {"type": "Linear", "in_features": 40, "out_features": 30}
    document = {
        "architecture": {**linear, "parametrizations": {"weight": {"type": "spectral_norm"}}}
    }
    made = planned(document)
    assert Plan.from_record(made.plan.record) == made.plan
    file = layout(made.plan).files["model.safetensors"]
    evaluator = Evaluator(made.plan, made.blobs)
    whole = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, whole)
    for start in range(0, file.size_bytes, 333):
        part = np.empty(min(333, file.size_bytes - start), np.uint8)
        evaluator.read(file, start, start + len(part), part)
        assert np.array_equal(part, whole[start : start + len(part)])
