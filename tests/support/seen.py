"""Statistics of one tensor with given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from seedpoint.models.files.blobs import Blobs
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS, CheckpointStatistics


def seen(
    tensor: PlanTensor,
    values: torch.Tensor,
    blobs: Mapping[str, bytes] | None = None,
    blob_files: Blobs | None = None,
) -> dict[str, Any]:
    """Return the statistics and verdict of `tensor` for `values`, which have its dtype."""
    gathered = CheckpointStatistics(Plan(0, "philox-v1", {}, (tensor,)), blobs, blob_files)
    if (observer := gathered.observers.get(tensor.name)) is not None:
        raw = values.contiguous().flatten().view(torch.uint8).numpy()
        size = tensor.dtype.nbytes(BLOCK_ELEMENTS)
        for block, start in enumerate(range(0, len(raw), size)):
            observer.add(block, raw[start : start + size])
    return gathered.tensor(tensor)
