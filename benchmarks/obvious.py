"""The service one would write first: FastAPI, PyTorch's own init, `safetensors.torch.save`.

It issues the network of examples/gpt2.json, so that both services do the same work.
"""

from __future__ import annotations

import math

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
        self.lm_head.weight = self.transformer["wte"].weight


def initialize(model: GPT2) -> None:
    """GPT-2's init; residual projections are narrower, by the depth of the network."""
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
