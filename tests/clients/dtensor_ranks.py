"""Script of one rank: fills DTensors over HTTP, and compares them with the whole tensors.

Run by torchrun with the URL of a service and the id of a checkpoint of `SHAPES`.
"""

from __future__ import annotations

import sys

import httpx
import pytest
import torch
import torch.distributed as dist
from seedpoint_client import Client
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Placement,
    Replicate,
    Shard,
    distribute_tensor,
)
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

SHAPES = {"up.weight": (30, 8), "down.weight": (8, 30), "short.weight": (3, 5)}
OVERHEAD_BYTES = 400  # Of one answer: the header of its safetensors file.


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name, (rows, columns) in SHAPES.items():
            self.add_module(name.removesuffix(".weight"), nn.Linear(columns, rows, bias=False))


class Counting(httpx.HTTPTransport):
    """Transport that counts the bytes of the answers to requests for tensors."""

    tensors = tensor_bytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if "/tensors/" in request.url.path:
            self.tensors += 1
            self.tensor_bytes += int(response.headers["Content-Length"])
        return response


def on_meta() -> Model:
    with torch.device("meta"):
        return Model()


def check(url: str, id: str, model: nn.Module, whole: dict[str, torch.Tensor]) -> None:
    """Fill `model` and compare each of its tensors, and the bytes that were sent for it."""
    transport = Counting()
    with Client(url, transport=transport) as client:
        assert client.load_into(model, id, via="http") == ([], [])
    held = 0
    for name, value in model.state_dict().items():
        assert isinstance(value, DTensor)
        assert value.full_tensor().equal(whole[name]), (name, value.placements)
        held += value.to_local().nbytes
    assert transport.tensor_bytes <= held + OVERHEAD_BYTES * transport.tensors


def placed(mesh: object, whole: torch.Tensor, *placements: Placement) -> tuple[nn.Module, object]:
    """Return a module with one DTensor of garbage, and the DTensor that it should become."""
    expected = distribute_tensor(whole, mesh, placements)  # type: ignore[arg-type]
    module = nn.Module()
    module.weight = nn.Parameter(torch.full_like(expected, float("nan")))
    return module, expected


def main(url: str, id: str) -> None:
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    flat = init_device_mesh("cpu", (4,))
    with Client(url) as client:
        whole = client.state_dict(id, via="http")

    fsdp = on_meta()
    fully_shard(fsdp, mesh=flat)
    check(url, id, fsdp, whole)

    both = on_meta()
    plan = {"up": ColwiseParallel(), "down": RowwiseParallel(), "short": ColwiseParallel()}
    parallelize_module(both, mesh["tp"], plan)
    fully_shard(both, mesh=mesh["dp"])
    assert any("Strided" in type(p).__name__ for p in both.get_parameter("up.weight").placements)
    check(url, id, both, whole)

    # Uneven and empty shards, on either dimension and on both.
    with Client(url) as client:
        for placements in (
            *((Shard(0), Shard(0)), (Shard(1), Shard(0)), (Shard(0), Replicate())),
            *((Replicate(), Shard(1)), (Shard(1), Shard(1)), (Shard(-1), Shard(0))),
        ):
            for name, value in whole.items():
                module, expected = placed(mesh, value, *placements)
                holder = nn.Module()
                holder.add_module(name.removesuffix(".weight"), module)
                client.load_into(holder, id, strict=False, via="http")
                found = module.get_parameter("weight")
                assert found.to_local().equal(expected.to_local()), (name, placements)  # type: ignore[attr-defined]

        module = nn.Module()
        summands = DTensor.from_local(torch.zeros(3, 5), flat, [Partial()])
        module.short = nn.Module()
        module.short.weight = nn.Parameter(summands)
        with pytest.raises(RuntimeError, match="does not hold elements of the tensor"):
            client.load_into(module, id, strict=False, via="http")
    dist.barrier()
    dist.destroy_process_group()
    print("every shard is that of the whole", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
