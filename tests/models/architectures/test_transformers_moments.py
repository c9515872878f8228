"""Values issued under philox-v1 against what each model's own code gives over several seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.coverage.shrink import configs
from seedpoint.models.architectures import parse
from seedpoint.models.errors import SpecError
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

MODELS = """
albert bart beit bert bloom clip convnext deberta-v2 deepseek_v3 distilbert electra falcon_mamba
gemma2 gpt2 gpt_neox hubert llama mamba mamba2 mixtral opt phi3 qwen2 qwen3_next recurrent_gemma
roberta rwkv siglip swin t5 vit wav2vec2 whisper
"""
SEEDS = range(3)


def smallest(model_type: str) -> dict[str, Any]:
    """The spec of the smallest config that the model's own code takes."""
    for config in configs(model_type):
        spec = {"architecture": {"type": "transformers", "config": config}, "init": {"seed": 1}}
        try:
            make_plan(parse_spec(spec))
        except SpecError:
            continue
        return spec
    raise AssertionError(model_type)


@pytest.mark.parametrize("model_type", MODELS.split())
def test_every_tensor_is_distributed_as_the_models_own_code_has_it(model_type: str) -> None:
    spec = smallest(model_type)
    planned = make_plan(parse_spec(spec))
    recipe: Any = parse(spec["architecture"])
    recipe = recipe.recipe("architecture", dtype=None, max_modules=100_000)
    real = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        real.append(recipe.make(recipe.dtype).state_dict())
    evaluator = Evaluator(planned.plan, planned.blobs)
    for number, tensor in enumerate(planned.plan.tensors):
        theirs = torch.stack([state[tensor.name] for state in real])
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(number, 0, tensor.numel, out)
        ours = torch.from_numpy(out).view(tensor.dtype.torch)
        if not tensor.program.draws:
            assert torch.equal(ours, theirs[0].reshape(-1)), tensor.name
            continue
        _compare(tensor.name, ours.double(), theirs.double())


def _compare(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Mean and std within six standard errors, by what is seen of the fourth moment."""
    mean, std = theirs.mean(), theirs.std(correction=0)
    fourth = ((theirs - mean) ** 4).mean()
    count = ours.numel()
    error = std * (1 / count + 1 / theirs.numel()) ** 0.5
    assert abs(ours.mean() - mean) <= 6 * error + 1e-6 * std, name
    if count >= 16:
        spread = torch.clamp(fourth - std**4, min=0).sqrt() / (2 * std)
        error = spread * (1 / count + 1 / theirs.numel()) ** 0.5
        assert abs(ours.std(correction=0) - std) <= 7 * error + 0.1 * std / count**0.5, name
