"""Tensors of a spec, as it issues them."""

from __future__ import annotations

from typing import Any

import torch

from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec


def issued(document: dict[str, Any], blobs: Blobs = NO_BLOBS) -> dict[str, torch.Tensor]:
    """Return the tensors of a spec, by name."""
    spec = parse_spec(document)
    if spec.init.generator != "philox-v1":
        return materialize(spec, make_plan(spec, platform=platform(), blobs=blobs), blobs)
    return evaluated(make_plan(spec, blobs=blobs), blobs)


def evaluated(planned: Planned, blobs: Blobs = NO_BLOBS) -> dict[str, torch.Tensor]:
    """Return the tensors of a plan of the stream, by name."""
    evaluator = Evaluator(planned.plan, planned.blobs, blob_files=blobs)
    made = {}
    for index, tensor in enumerate(planned.plan.tensors):
        flat = torch.empty(tensor.numel, dtype=tensor.dtype.torch)
        evaluator.fill(index, 0, tensor.numel, flat.view(torch.uint8).numpy())
        made[tensor.name] = flat.view(tensor.shape)
    return made


def stretch(
    planned: Planned, name: str, start: int, stop: int, blobs: Blobs = NO_BLOBS
) -> torch.Tensor:
    """Return elements [start, stop) of one tensor, computed alone."""
    names = [tensor.name for tensor in planned.plan.tensors]
    index = names.index(name)
    flat = torch.empty(stop - start, dtype=planned.plan.tensors[index].dtype.torch)
    evaluator = Evaluator(planned.plan, planned.blobs, blob_files=blobs)
    evaluator.fill(index, start, stop, flat.view(torch.uint8).numpy())
    return flat
