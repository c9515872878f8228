"""A small model of many kinds of tensors, and its whole checkpoint by another way."""

from __future__ import annotations

from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import seedpoint
from tests.support.plans import rule

SPEC: dict[str, Any] = {
    "architecture": {
        "type": "Module",
        "children": {
            "tokens": {"type": "Embedding", "num_embeddings": 50, "embedding_dim": 24},
            "norm": {"type": "BatchNorm1d", "num_features": 24},
            "square": {"type": "Linear", "in_features": 24, "out_features": 24},
            "cell": {"type": "LSTM", "input_size": 24, "hidden_size": 8},
            "head": {
                "type": "Linear",
                "in_features": 24,
                "out_features": 50,
                "bias": False,
                "tie": {"weight": "tokens.weight"},
            },
        },
    },
    "init": {
        "seed": 7,
        "rules": [
            rule({"name": "square.weight"}, {"type": "orthogonal"}),
            rule({"name": "cell.weight_hh_l0"}, {"type": "sparse", "sparsity": 0.2}),
            rule({"name": "tokens.weight"}, {"type": "trunc_normal", "std": 0.02}),
        ],
    },
}


class Model(nn.Module):
    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50, 24)
        self.norm = nn.BatchNorm1d(24)
        self.square = nn.Linear(24, 24)
        self.cell = nn.LSTM(24, 8)
        self.head = nn.Linear(24, 50, bias=False)
        if tied:
            self.head.weight = self.tokens.weight


def on_meta(**options: Any) -> Model:
    with torch.device("meta"):
        return Model(**options)


@pytest.fixture(scope="session")
def checkpoint() -> seedpoint.Checkpoint:
    return seedpoint.Checkpoint.from_spec(SPEC)


@pytest.fixture(scope="session")
def whole(checkpoint: seedpoint.Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors of the file, the alias included."""
    found = safetensors.torch.load(checkpoint.read("model.safetensors"))
    return {**found, "head.weight": found["tokens.weight"]}


def assert_whole(model: nn.Module, whole: dict[str, torch.Tensor], prefix: str = "") -> None:
    """Every tensor of the model has the bits of the file, converted to its own dtype."""
    state = model.state_dict()
    for name, value in state.items():
        expected = whole[prefix + name].to(value.dtype).reshape(-1).view(torch.uint8)
        assert torch.equal(value.contiguous().reshape(-1).view(torch.uint8), expected), name
