"""A small decoder in plain PyTorch, and the spec of its first checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT = 64, 4, 4, 256, 32


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention_norm(x)
        heads = (part(y).unflatten(-1, (-1, WIDTH // HEADS)) for part in (self.q, self.k, self.v))
        q, k, v = (each.transpose(1, 2) for each in heads)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        x += self.down(functional.gelu(self.up(self.mlp_norm(x))))
        return x


class Transformer(nn.Module):
    """The whole model, or a stage of it: some of its blocks, and its ends if they are `first` and
    `last`. A stage gives its tensors the names that they have in the whole model.
    """

    def __init__(
        self, layers: Sequence[int] = range(LAYERS), *, first: bool = True, last: bool = True
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH) if first else None
        self.positions = nn.Embedding(CONTEXT, WIDTH) if first else None
        self.blocks = nn.ModuleDict({str(layer): Block() for layer in layers})
        self.norm = nn.LayerNorm(WIDTH) if last else None
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False) if last else None
        if self.head is not None and self.tokens is not None:
            self.head.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.tokens is not None and self.positions is not None:
            x = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks.values():
            x = block(x)
        return x if self.norm is None or self.head is None else self.head(self.norm(x))


def _linear(inputs: int, outputs: int, *, bias: bool = False) -> dict[str, Any]:
    return {"type": "Linear", "in_features": inputs, "out_features": outputs, "bias": bias}


_NORM = {"type": "LayerNorm", "normalized_shape": WIDTH}
_BLOCK = {
    "type": "Module",
    "children": {
        "attention_norm": _NORM,
        **{name: _linear(WIDTH, WIDTH) for name in "qkvo"},
        "mlp_norm": _NORM,
        "up": _linear(WIDTH, 4 * WIDTH, bias=True),
        "down": _linear(4 * WIDTH, WIDTH, bias=True),
    },
}
SPEC: dict[str, Any] = {
    "architecture": {
        "type": "Module",
        "children": {
            "tokens": {"type": "Embedding", "num_embeddings": VOCABULARY, "embedding_dim": WIDTH},
            "positions": {"type": "Embedding", "num_embeddings": CONTEXT, "embedding_dim": WIDTH},
            "blocks": {"type": "Repeat", "count": LAYERS, "layer": _BLOCK},
            "norm": _NORM,
            "head": {**_linear(WIDTH, VOCABULARY), "tie": {"weight": "tokens.weight"}},
        },
    },
    "init": {
        "seed": 42,
        "rules": [
            {
                "match": {"name": "blocks.*.*.weight", "module": "Linear"},
                "initializer": {"type": "trunc_normal", "std": 0.02},
            },
            {
                "match": {"module": ["Linear", "Embedding"], "parameter": "weight"},
                "initializer": {"type": "normal", "std": 0.02},
            },
            {"match": {"module": "Linear", "parameter": "bias"}, "initializer": {"type": "zeros"}},
        ],
    },
}
