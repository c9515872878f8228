"""What every process of a mesh does in `test_meshes`: cases by name, and the faults it sees."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

import seedpoint
from tests.models.ranks.conftest import SPEC, Model, on_meta
from tests.support.places import EXAMPLES

RECIPES = ("plain", "fsdp2", "tensor_parallel", "fsdp2_tensor_parallel", "pipeline")
UNEVEN = {
    "architecture": {
        "type": "Sequential",
        "layers": [
            {"name": "a", "type": "Linear", "in_features": 7, "out_features": 5},
            {"name": "b", "type": "Linear", "in_features": 5, "out_features": 1},
            {"name": "c", "type": "BatchNorm1d", "num_features": 1},
        ],
    },
}


def whole(spec: Any) -> dict[str, torch.Tensor]:
    """The tensors of the whole file, by safetensors."""
    checkpoint = seedpoint.Checkpoint.from_spec(spec)
    found = safetensors.torch.load(checkpoint.read("model.safetensors"))
    for tensor in checkpoint.plan.tensors:
        found |= dict.fromkeys(tensor.aliases, found[tensor.name])
    return found


def check(model: nn.Module, spec: Any, dtype: torch.dtype | None = None) -> None:
    """Every tensor, gathered from all processes by PyTorch, has the bits of the whole file."""
    expected = whole(spec)
    for name, value in model.state_dict().items():
        gathered = value.full_tensor() if isinstance(value, DTensor) else value
        wanted = (
            expected[name].to(dtype) if dtype and gathered.is_floating_point() else expected[name]
        )
        assert gathered.dtype == wanted.dtype, name
        raw = [each.contiguous().reshape(-1).view(torch.uint8) for each in (gathered, wanted)]
        assert torch.equal(*raw), name


# --- the recipes ---------------------------------------------------------------------------


def recipe(name: str) -> None:
    sys.path.insert(0, str(EXAMPLES / "ranks"))
    spec = importlib.import_module("transformer").SPEC
    module = importlib.import_module(name)
    model = module.main()
    check(model, spec)
    if name == "pipeline":
        logits = module.run(model)
        assert logits.isfinite().all()
        return
    assert model.head.weight is model.tokens.weight
    tokens = torch.arange(16).view(2, 8)
    with torch.no_grad():
        logits, alone = model(tokens), importlib.import_module("plain").main()(tokens)
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


# --- FSDP2 ---------------------------------------------------------------------------------


def columns() -> None:
    """Shards of dimension 1."""
    model = on_meta()
    fully_shard(
        model,
        mesh=world(),
        shard_placement_fn=lambda value: Shard(1 if value.ndim > 1 else 0),
    )
    seedpoint.load_into(model, SPEC)
    assert model.square.weight.placements == (Shard(1),)
    check(model, SPEC)


def uneven() -> None:
    """Shards that are uneven, padded or empty, in memory that to_empty gave and NaN filled."""
    with torch.device("meta"):
        layers = {"a": nn.Linear(7, 5), "b": nn.Linear(5, 1), "c": nn.BatchNorm1d(1)}
        model = nn.Sequential(OrderedDict(layers))
    fully_shard(model, mesh=world())
    model.to_empty(device="cpu")
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(torch.nan if value.is_floating_point() else -1)
    seedpoint.load_into(model, UNEVEN)
    check(model, UNEVEN)
    assert len({each.to_local().shape for each in model.parameters()}) > 1


def rounded() -> None:
    """A float32 plan in bfloat16 parameters."""
    model = on_meta().to(torch.bfloat16)
    fully_shard(model, mesh=world())
    seedpoint.load_into(model, SPEC)
    check(model, SPEC, torch.bfloat16)


def after_a_forward_pass() -> None:
    """Parameters that a forward pass has gathered are shards again."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(7, 5))
    fully_shard(model, mesh=world(), reshard_after_forward=False)
    spec = {"architecture": {"type": "Sequential", "layers": UNEVEN["architecture"]["layers"][:1]}}
    rename = {"0.weight": "a.weight", "0.bias": "a.bias"}
    seedpoint.load_into(model, spec, rename=rename)
    with torch.no_grad():
        before = model(torch.ones(2, 7))
        for value in model.parameters():
            value.fill_(torch.nan)
    seedpoint.load_into(model, spec, rename=rename)
    with torch.no_grad():
        assert torch.equal(model(torch.ones(2, 7)), before)


# --- DTensors on a mesh of two dimensions -----------------------------------------------------


def placements() -> None:
    mesh = init_device_mesh("cpu", (2, 2))
    expected = whole(SPEC)
    for pair in (
        [Shard(0), Shard(0)],
        [Shard(0), Shard(1)],
        [Shard(1), Shard(1)],
        [Replicate(), Shard(1)],
        [Shard(0), Replicate()],
        [_StridedShard(0, split_factor=2), Shard(0)],
        [_StridedShard(1, split_factor=2), Shard(1)],
    ):
        model = Model()
        for name in ("tokens", "square"):
            layer = model.get_submodule(name)
            value = expected[f"{name}.weight"]
            local = torch.full_like(cut(value, mesh, pair), torch.nan)
            more = {"shape": value.shape, "stride": value.stride()}
            layer.weight = nn.Parameter(DTensor.from_local(local, mesh, pair, **more))
        model.head.weight = model.tokens.weight
        seedpoint.load_into(model, SPEC)
        for name in ("tokens.weight", "square.weight"):
            local = model.get_parameter(name).to_local()
            assert torch.equal(local, cut(expected[name], mesh, pair)), (name, pair)


def cut(value: torch.Tensor, mesh: DeviceMesh, placements: Sequence[Any]) -> torch.Tensor:
    """The local part of a tensor, by the arithmetic of DTensor's placements."""
    for size, place, placement in zip(mesh.shape, mesh.get_coordinate(), placements, strict=True):
        if not isinstance(placement, Replicate):
            split, _ = placement._split_tensor(value, size, with_padding=False, contiguous=False)
            value = split[place]
    return value.contiguous()


def refusals() -> None:
    """Summands, and a mesh that some processes are not in: both differences in one error."""
    rank, mesh = distributed.get_rank(), world()
    part = DeviceMesh("cpu", [0, 1])
    model = Model()
    zeros = torch.zeros(24, 24)
    model.square.weight = nn.Parameter(DTensor.from_local(zeros, mesh, [Partial()]))
    zeros = torch.zeros(12 if rank < 2 else 0)
    bias = DTensor.from_local(zeros, part, [Shard(0)], shape=torch.Size([24]), stride=(1,))
    model.square.bias = nn.Parameter(bias)
    with pytest.raises(seedpoint.ModuleMismatch) as caught:
        seedpoint.load_into(model, SPEC)
    found = caught.value.differences
    assert found[0].startswith("square.weight: its placement ")
    assert "holds summands, not elements; redistribute it" in found[0]
    expected = [f"square.bias: this process, rank {rank}, is not in its mesh [0, 1]"]
    assert list(found[1:]) == (expected if rank >= 2 else [])


def other_shards() -> None:
    """Local memory that is not what the placements say."""
    zeros = torch.zeros(24 * (1 + distributed.get_rank()), 24)
    shape = torch.Size([24, 24])
    wrong = DTensor.from_local(zeros, world(), [Shard(0)], shape=shape, stride=(24, 1))
    model = Model()
    model.square.weight = nn.Parameter(wrong)
    with pytest.raises(seedpoint.ModuleMismatch, match=r"and it holds \["):
        seedpoint.load_into(model, SPEC)


def flat_parameters() -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = FullyShardedDataParallel(Model(tied=False), device_id=torch.device("cpu"))
    with pytest.raises(seedpoint.ModuleMismatch, match="FSDP1"):
        seedpoint.load_into(model, SPEC)


def replicas() -> None:
    """DistributedDataParallel, whose names begin with `module.`; separate ties stay separate."""
    model = nn.parallel.DistributedDataParallel(Model(tied=False))
    seedpoint.load_into(model, SPEC)
    assert model.module.head.weight is not model.module.tokens.weight
    check(model.module, SPEC)


# --- buffers ---------------------------------------------------------------------------------


def buffers() -> None:
    """A model of transformers under FSDP2, with its rotary frequencies."""
    import transformers

    spec = {"architecture": {"type": "preset", "name": "llama-tiny"}}
    config = json.loads(seedpoint.Checkpoint.from_spec(spec).plan.files["config.json"])
    cls = transformers.LlamaForCausalLM
    config = cls.config_class.from_dict(config)
    with torch.device("meta"):
        model = cls._from_config(config, dtype=config.dtype)
    fully_shard(model, mesh=world())
    seedpoint.load_into(model, spec)
    check(model, spec)
    expected = dict(cls._from_config(config, dtype=config.dtype).named_buffers())
    found = dict(model.named_buffers())
    assert expected.keys() == found.keys() != set()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# --- processes --------------------------------------------------------------------------------

TWO = (*RECIPES, "columns", "uneven", "buffers")
FOUR = (
    *RECIPES,
    *("columns", "uneven", "rounded", "after_a_forward_pass", "placements"),
    *("refusals", "other_shards", "flat_parameters", "replicas"),
)


def cases(world_size: int) -> tuple[str, ...]:
    return TWO if world_size == 2 else FOUR


def world() -> DeviceMesh:
    return init_device_mesh("cpu", (distributed.get_world_size(),))


def work(rank: int, world_size: int, folder: str) -> None:
    """Run every case, and write the faults of this process to a file in `folder`."""
    os.environ |= {"LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory with NaN
    assert torch.empty(3).isnan().all()
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    faults = {}
    for name in cases(world_size):
        task: Callable[[], None] | None = globals().get(name)
        try:
            recipe(name) if task is None else task()
        except Exception:  # noqa: BLE001 - the test shows it
            faults[name] = traceback.format_exc()
        distributed.barrier()
    Path(folder, f"{rank}.json").write_text(json.dumps(faults))
    distributed.destroy_process_group()
