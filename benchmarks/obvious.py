"""Baseline service: FastAPI, PyTorch's own init and `safetensors.torch.save`.

It issues the network of examples/gpt2.json, and eight large layers with the statistics of every
tensor, so that both services do the same work.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import torch
from fastapi import FastAPI, Response
from pydantic import BaseModel
from safetensors.torch import save
from torch import nn

N_LAYER, N_EMBD, VOCABULARY, CONTEXT = 12, 768, 50257, 1024


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(N_EMBD)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(N_EMBD, 3 * N_EMBD), "c_proj": nn.Linear(N_EMBD, N_EMBD)}
        )
        self.ln_2 = nn.LayerNorm(N_EMBD)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(N_EMBD, 4 * N_EMBD),
                "act": nn.GELU(approximate="tanh"),
                "c_proj": nn.Linear(4 * N_EMBD, N_EMBD),
            }
        )


class GPT2(nn.Module):
    def __init__(self, layers: int = N_LAYER) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, N_EMBD),
                "wpe": nn.Embedding(CONTEXT, N_EMBD),
                "drop": nn.Dropout(0.1),
                "h": nn.Sequential(*(Block() for _ in range(layers))),
                "ln_f": nn.LayerNorm(N_EMBD),
            }
        )
        self.lm_head = nn.Linear(N_EMBD, VOCABULARY, bias=False)
        embedding = self.transformer["wte"]
        assert isinstance(embedding, nn.Embedding)
        self.lm_head.weight = embedding.weight


def initialize(model: GPT2) -> None:
    """Apply GPT-2's init; the std of residual projections shrinks with the network's depth."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            residual = name.endswith("c_proj")
            nn.init.normal_(module.weight, 0.0, 0.02 / math.sqrt(2 * N_LAYER) if residual else 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Request(BaseModel):
    seed: int


app = FastAPI()


@app.get("/readyz")
def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/checkpoints")
def issue(request: Request) -> Response:
    torch.manual_seed(request.seed)
    with torch.no_grad():
        model = GPT2()
        initialize(model)
        state = model.state_dict()
    state.pop("lm_head.weight")
    return Response(save(state), media_type="application/octet-stream")


LINEARS, FEATURES, BINS = 8, 4096, 64


class LinearsRequest(BaseModel):
    seed: int
    initializer: Literal["normal", "trunc_normal"]


@app.post("/linears")
def issue_linears(request: LinearsRequest) -> Response:
    torch.manual_seed(request.seed)
    with torch.no_grad():
        layers = [nn.Linear(FEATURES, FEATURES) for _ in range(LINEARS)]
        model = nn.Sequential(*layers)
        for layer in layers:
            if request.initializer == "normal":
                nn.init.normal_(layer.weight, std=0.02)
            else:
                nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(layer.bias)
        state = model.state_dict()
        found = {name: statistics(tensor) for name, tensor in state.items()}
    content = save(state, metadata={"statistics": json.dumps(found)})
    return Response(content, media_type="application/octet-stream")


def statistics(tensor: torch.Tensor) -> dict[str, Any]:
    """Return the statistics that Seedpoint observes of a tensor, without expectations."""
    std, mean = torch.std_mean(tensor, correction=0)
    low, high = torch.aminmax(tensor)
    l2 = torch.linalg.vector_norm(tensor)
    fourth = (tensor - mean).pow(4).mean()
    histogram = torch.histc(tensor, BINS, low.item(), high.item())
    return {
        "numel": tensor.numel(),
        "mean": mean.item(),
        "std": std.item(),
        "rms": l2.item() / math.sqrt(tensor.numel()),
        "min": low.item(),
        "max": high.item(),
        "abs_max": max(abs(low.item()), abs(high.item())),
        "l2": l2.item(),
        "kurtosis": (fourth / std**4 - 3).item(),
        "zero_fraction": 1 - torch.count_nonzero(tensor).item() / tensor.numel(),
        "nan_count": tensor.isnan().sum().item(),
        "inf_count": tensor.isinf().sum().item(),
        "histogram": histogram.tolist(),
    }
