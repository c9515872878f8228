"""Values in a dtype, by PyTorch where it converts to it."""

from __future__ import annotations

import torch

from seedpoint.models.dtypes import DType
from seedpoint.models.stream import reference


def converted(values: torch.Tensor, dtype: DType) -> torch.Tensor:
    """Return `values` in `dtype`; pairs of four bits are a vector, by the stream's conversion."""
    if dtype.per_item == 1:
        return values.to(dtype.torch)
    return reference.convert(values.flatten().float(), dtype.name).view(dtype.torch)
