"""FSDP2 over tensor parallelism: a mesh of two dimensions, still the bits of the one checkpoint.

torchrun --nproc-per-node 4 examples/ranks/fsdp2_tensor_parallel.py
"""

from __future__ import annotations

import torch
from tensor_parallel import PLAN
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import parallelize_module
from transformer import SPEC, Transformer

import seedpoint


def main(device: str = "cpu") -> Transformer:
    shape = (distributed.get_world_size() // 2, 2)
    mesh = init_device_mesh(device, shape, mesh_dim_names=("data", "tensor"))
    with torch.device("meta"):
        model = Transformer()
    parallelize_module(model, mesh["tensor"], {name: style() for name, style in PLAN.items()})
    for block in model.blocks.values():
        fully_shard(block, mesh=mesh["data"])
    fully_shard(model, mesh=mesh["data"])
    seedpoint.load_into(model, SPEC)
    return model


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    print(main()(torch.zeros(1, 8, dtype=torch.long)).shape)
    distributed.destroy_process_group()
