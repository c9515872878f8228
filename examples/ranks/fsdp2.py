"""FSDP2 from `meta`: each rank computes its own shard of every parameter.

torchrun --nproc-per-node 4 examples/ranks/fsdp2.py
"""

from __future__ import annotations

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformer import SPEC, Transformer

import seedpoint


def main(device: str = "cpu") -> Transformer:
    mesh = init_device_mesh(device, (distributed.get_world_size(),))
    with torch.device("meta"):
        model = Transformer()
    for block in model.blocks.values():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    seedpoint.load_into(model, SPEC)
    return model


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    print(main()(torch.zeros(1, 8, dtype=torch.long)).shape)
    distributed.destroy_process_group()
