"""Ranks that load a DCP directory into sharded modules with torch's own reader."""

from __future__ import annotations

import json
import math
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

WIDTH, ODD = 1024, 1001
LAYERS = {"up": (WIDTH, WIDTH), "down": (WIDTH, WIDTH), "head": (WIDTH, ODD)}
SPEC: dict[str, Any] = {
    "architecture": {
        "type": "Sequential",
        "layers": [
            {"name": name, "type": "Linear", "in_features": width, "out_features": out}
            for name, (width, out) in LAYERS.items()
        ],
    }
}
TENSOR_PARALLEL = {"up": ColwiseParallel(), "down": RowwiseParallel()}


def _fsdp(module: nn.Module, world: int) -> None:
    fully_shard(module, mesh=init_device_mesh("cpu", (world,)))


def _columns(module: nn.Module, world: int) -> None:
    """FSDP2 over dimension 1 of matrices."""
    from torch.distributed.tensor import Shard

    fully_shard(
        module,
        mesh=init_device_mesh("cpu", (world,)),
        shard_placement_fn=lambda tensor: Shard(tensor.ndim - 1),
    )


def _tp(module: nn.Module, world: int) -> None:
    parallelize_module(module, init_device_mesh("cpu", (world,)), TENSOR_PARALLEL)


def _fsdp_tp(module: nn.Module, world: int) -> None:
    mesh: DeviceMesh = init_device_mesh("cpu", (world // 2, 2), mesh_dim_names=("dp", "tp"))
    parallelize_module(module, mesh["tp"], TENSOR_PARALLEL)
    fully_shard(module, mesh=mesh["dp"])


WAYS: dict[str, Callable[[nn.Module, int], None]] = {
    "fsdp": _fsdp,
    "fsdp columns": _columns,
    "tp": _tp,
    "fsdp x tp": _fsdp_tp,
}


@dataclass(frozen=True)
class Job:
    """Directory to load, the whole file to compare with, and the ways to shard."""

    directory: str
    metrics: str
    file: Path
    ways: tuple[str, ...]
    results: Path


def run(rank: int, world: int, job: Job) -> None:
    """Load in each way as one rank of `world`, and write what was read to the results."""
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo", init_method=f"file://{job.results}/meeting", rank=rank, world_size=world
    )
    whole = safetensors.torch.load_file(job.file)
    found = {way: _load(rank, world, job, way, whole) for way in job.ways}
    (job.results / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def _load(
    rank: int, world: int, job: Job, way: str, whole: dict[str, torch.Tensor]
) -> dict[str, Any]:
    with torch.device("meta"):
        layers = {name: nn.Linear(width, out) for name, (width, out) in LAYERS.items()}
        module = nn.Sequential()
        for name, layer in layers.items():
            module.add_module(name, layer)
    WAYS[way](module, world)
    module.to_empty(device="cpu")
    state = module.state_dict()
    _poison(state)
    dcp.load(state, checkpoint_id=job.directory)
    is_equal = _are_equal(state, whole)
    _poison(state)
    sent = 0.0
    for turn in range(world):  # One by one, so that the bytes are those of one rank.
        dist.barrier()
        if turn == rank:
            before = _sent(job.metrics)
            dcp.load(state, checkpoint_id=job.directory, no_dist=True)
            sent = _sent(job.metrics) - before
    dist.barrier()
    return {
        "equal": is_equal and _are_equal(state, whole),
        "shard": sum(_local(tensor).nbytes for tensor in state.values()),
        "read": sent,
        "sharded": any(
            isinstance(tensor, DTensor) and _local(tensor).shape != tensor.shape
            for tensor in state.values()
        ),
    }


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _poison(state: dict[str, torch.Tensor]) -> None:
    for tensor in state.values():
        _local(tensor).fill_(math.nan)


def _are_equal(state: dict[str, torch.Tensor], whole: dict[str, torch.Tensor]) -> bool:
    gathered = {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in state.items()
    }
    return gathered.keys() == whole.keys() and all(
        torch.equal(gathered[name].view(torch.int32), whole[name].view(torch.int32))
        for name in whole
    )


def _sent(metrics: str) -> float:
    """Return the bytes of DCP files that the service has sent so far."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(metrics) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("seedpoint_response_body_bytes_total{") and "/dcp/" in line
    )
