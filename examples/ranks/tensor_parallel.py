"""Tensor parallelism: each rank computes its rows or columns of every matrix.

torchrun --nproc-per-node 4 examples/ranks/tensor_parallel.py
"""

from __future__ import annotations

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from transformer import SPEC, Transformer

import seedpoint

PLAN = {
    **{f"blocks.*.{name}": ColwiseParallel for name in ("q", "k", "v", "up")},
    **{f"blocks.*.{name}": RowwiseParallel for name in ("o", "down")},
}


def main(device: str = "cpu") -> Transformer:
    mesh = init_device_mesh(device, (distributed.get_world_size(),))
    with torch.device("meta"):
        model = Transformer()
    parallelize_module(model, mesh, {name: style() for name, style in PLAN.items()})
    seedpoint.load_into(model, SPEC)
    return model


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    print(main()(torch.zeros(1, 8, dtype=torch.long)).shape)
    distributed.destroy_process_group()
