"""The examples of models from other libraries: what they show, and values that never change.

The SHA-256 is of the tensors alone: a library's own version is in the header of its files.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from seedpoint.models import presets
from seedpoint.models.files.layout import File, layout
from seedpoint.models.generation.device_draws import Draws, ReferenceDraws, draws_on
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support import vision
from tests.support.places import EXAMPLES, GOLDEN

FOLDER = EXAMPLES / "libraries"
SHA256 = GOLDEN / "library_examples_sha256.json"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def example(name: str) -> dict[str, Any]:
    if name.startswith("timm"):
        vision.load()
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def made(name: str, draws: Draws | None = None) -> tuple[File, bytes]:
    """The layout and the bytes of the file of an example."""
    planned = make_plan(parse_spec(example(name)))
    file = layout(planned.plan).files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    evaluator = Evaluator(planned.plan, planned.blobs, draws=draws or draws_on("cpu"))
    evaluator.read(file, 0, file.size_bytes, out)
    return file, out.tobytes()


def issued(name: str) -> dict[str, torch.Tensor]:
    return load(made(name)[1])


def test_every_example_has_a_golden() -> None:
    assert sorted(json.loads(SHA256.read_text())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_tensors_never_change(name: str) -> None:
    file, content = made(name)
    values = content[len(file.head) :]
    assert hashlib.sha256(values).hexdigest() == json.loads(SHA256.read_text())[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_reference_gives_the_same_bytes(name: str) -> None:
    assert made(name, ReferenceDraws(torch.device("cpu")))[1] == made(name)[1]


def test_a_transformers_config_with_a_rule_over_its_own_init() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    found = issued("transformers_llama")
    config = AutoConfig.for_model(**example("transformers_llama")["architecture"]["config"])
    AutoModelForCausalLM.from_config(config).load_state_dict(found, strict=True)
    for layer in range(2):
        scaled = found[f"model.layers.{layer}.self_attn.o_proj.weight"]
        assert scaled.dtype == torch.bfloat16
        assert scaled.double().std().item() == pytest.approx(0.02 / math.sqrt(4), rel=0.05)
    assert found["lm_head.weight"].double().std().item() == pytest.approx(0.02, rel=0.05)


def test_a_preset_with_overrides() -> None:
    found, plain = issued("preset_llama_tiny"), presets.get("llama-tiny").architecture["config"]
    assert plain["num_hidden_layers"] == 2
    assert "model.layers.3.mlp.up_proj.weight" in found
    assert found["model.embed_tokens.weight"].shape[0] == 1024


def test_a_model_of_timm_that_begins_with_equal_classes() -> None:
    found = issued("timm_resnet")
    import timm

    net = timm.create_model("resnet10t", num_classes=10)
    net.load_state_dict(found, strict=True)
    assert not found["fc.weight"].any()
