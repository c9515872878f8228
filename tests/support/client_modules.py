"""Module for the tests of the client that fill one, and its checkpoint's spec."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import safetensors.torch
import torch
from seedpoint_client import AsyncClient, Client
from torch import nn

from tests.support.relay import Relay

SPEC = {
    "architecture": {
        "type": "Module",
        "children": {
            "wte": {"type": "Embedding", "num_embeddings": 100, "embedding_dim": 32},
            "norm": {"type": "BatchNorm1d", "num_features": 32},
            "lm_head": {
                "type": "Linear",
                "in_features": 32,
                "out_features": 100,
                "bias": False,
                "tie": {"weight": "wte.weight"},
            },
        },
    },
    "init": {"seed": 3, "rules": [{"match": {"ndim": 2}, "initializer": {"type": "normal"}}]},
}
FREQUENCIES = torch.tensor([1.0, 0.5, 0.25])


class Tied(nn.Module):
    """Module of `SPEC`, with a buffer that no state dict holds if `rotary`."""

    def __init__(self, *, rotary: bool = False, width: int = 32) -> None:
        super().__init__()
        self.wte = nn.Embedding(100, width)
        self.norm = nn.BatchNorm1d(32)
        self.lm_head = nn.Linear(width, 100, bias=False)
        self.lm_head.weight = self.wte.weight
        if rotary:
            frequencies = torch.tensor([1.0, 0.5, 0.25])
            self.register_buffer("inv_freq", frequencies, persistent=False)


def load_into(url: str, *arguments: Any, settings: Any = None, **options: Any) -> Any:
    with Client(url, **settings or {}) as client:
        return client.load_into(*arguments, **options)


def load_into_async(url: str, *arguments: Any, settings: Any = None, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, **settings or {}) as client:
            return await client.load_into(*arguments, **options)

    return anyio.run(run)


def poisoned(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for value in module.state_dict().values():
            value.fill_(77)
    return module


def is_equal(module: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    found = module.state_dict()
    return set(found) == set(state) and all(found[name].equal(state[name]) for name in state)


class WithBuffers(Relay):
    """Service that also gives buffers, and one that does not know of them."""

    def __init__(self, url: str, buffers: dict[str, torch.Tensor] | None) -> None:
        super().__init__(url)
        self._buffers = buffers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/buffers"):
            return super().handle_request(request)
        if self._buffers is None:
            return httpx.Response(404)
        return httpx.Response(200, content=safetensors.torch.save(self._buffers))
