"""Every initializer of the catalogue, each in a spec of its own, under every generator."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from scipy import stats

from seedpoint.models import architectures, initializers
from seedpoint.models.draws import TruncNormal
from seedpoint.models.errors import SpecError
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.initializers import transforms
from seedpoint.models.plan.program import Orthogonal, Sparse
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec
from tests.support import vision
from tests.support.places import GOLDEN

SHA256 = GOLDEN / "initializers_sha256.json"
SPECS: dict[str, dict[str, Any]] = {
    entry["type"]: entry["spec"] for entry in initializers.catalogue()
}
NOT_IN_NUMPY = Orthogonal | Sparse | TruncNormal


def issued(spec: dict[str, Any]) -> bytes:
    planned = make_plan(parse_spec(spec))
    file = layout(planned.plan).files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    Evaluator(planned.plan, planned.blobs).read(file, 0, file.size_bytes, out)
    return out.tobytes()


def under(spec: dict[str, Any], generator: str) -> torch.Tensor:
    init = spec["init"] | {"generator": generator}
    parsed = parse_spec(spec | {"init": init})
    return materialize(parsed, make_plan(parsed, platform=platform()))["weight"]


def test_every_initializer_has_a_golden() -> None:
    assert sorted(json.loads(SHA256.read_text())) == sorted(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_the_philox_file_never_changes(name: str) -> None:
    assert hashlib.sha256(issued(SPECS[name])).hexdigest() == json.loads(SHA256.read_text())[name]


@pytest.mark.parametrize("name", SPECS)
def test_philox_and_torch_agree_in_distribution(name: str) -> None:
    drawn = load(issued(SPECS[name]))["weight"]
    real = under(SPECS[name], "torch")
    assert drawn.shape == real.shape
    if initializers.CATALOGUE[name].draws or name == "own":
        assert stats.ks_2samp(drawn.flatten(), real.flatten()).pvalue > 1e-4
    else:
        assert torch.equal(drawn, real)


@pytest.mark.parametrize("name", SPECS)
def test_numpy_draws_uniform_and_normal_values_and_refuses_the_rest(name: str) -> None:
    tensors = make_plan(parse_spec(SPECS[name])).plan.tensors
    if any(isinstance(tensor.program.source, NOT_IN_NUMPY) for tensor in tensors):
        with pytest.raises(SpecError, match="uniform and normal values only"):
            under(SPECS[name], "numpy")
    else:
        drawn = load(issued(SPECS[name]))["weight"]
        assert under(SPECS[name], "numpy").shape == drawn.shape


@pytest.mark.parametrize("entry", architectures.catalogue(), ids=lambda entry: entry["type"])
def test_the_spec_of_every_layer_is_issued(entry: dict[str, Any]) -> None:
    if entry.get("extra") == "timm":
        vision.load()
    load(issued(entry["spec"]))
    assert json.dumps(entry["example"]) in json.dumps(entry["spec"])


@pytest.mark.parametrize("entry", transforms.catalogue(), ids=lambda entry: entry["type"])
def test_the_spec_of_every_transform_is_issued(entry: dict[str, Any]) -> None:
    load(issued(entry["spec"]))
    assert json.dumps(entry["example"]) in json.dumps(entry["spec"])
