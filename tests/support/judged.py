"""Verdicts on given values, for tests of statistics."""

from __future__ import annotations

import torch

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.plan.plan import PlanTensor
from tests.support.converted import converted
from tests.support.seen import seen

F32 = BY_NAME["float32"]


def judged(values, program, dtype=F32):
    """The verdict on a torch tensor of float32 values, converted to `dtype`."""
    tensor = PlanTensor("w", tuple(values.shape), dtype, "parameter", "Linear", program)
    return seen(tensor, converted(values, dtype))


def normal(*shape, mean=0.0, std=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape).normal_(mean, std, generator=generator)
