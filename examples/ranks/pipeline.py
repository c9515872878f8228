"""Pipeline stages, each built apart: a rank builds and computes its own blocks alone.

torchrun --nproc-per-node 2 examples/ranks/pipeline.py
"""

from __future__ import annotations

import torch
from torch import distributed
from transformer import CONTEXT, LAYERS, SPEC, WIDTH, Transformer

import seedpoint


def main() -> Transformer:
    rank, stages = distributed.get_rank(), distributed.get_world_size()
    layers = range(LAYERS * rank // stages, LAYERS * (rank + 1) // stages)
    with torch.device("meta"):
        stage = Transformer(layers, first=rank == 0, last=rank == stages - 1)
    # Not strict: the checkpoint has the tensors of the other stages too.
    keys = seedpoint.load_into(stage, SPEC, strict=False)
    assert not keys.missing_keys
    return stage


def run(stage: Transformer) -> torch.Tensor:
    """Pass one batch through all stages; the last one returns the logits."""
    rank, stages = distributed.get_rank(), distributed.get_world_size()
    x = torch.zeros(1, CONTEXT, dtype=torch.long)
    if rank > 0:
        x = torch.empty(1, CONTEXT, WIDTH)
        distributed.recv(x, rank - 1)
    with torch.no_grad():
        y: torch.Tensor = stage(x)
    if rank < stages - 1:
        distributed.send(y, rank + 1)
    return y


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    print(run(main()).shape)
    distributed.destroy_process_group()
