"""Tensors of a checkpoint in memory of their own, without a module."""

from __future__ import annotations

import torch

from seedpoint.models.files.slices import Index, index_slice
from seedpoint.models.ranks.dtensors import window_of
from seedpoint.models.ranks.fill import Job
from seedpoint.models.ranks.names import TensorNumbers
from seedpoint.models.ranks.plan_source import PlanSource


def all_tensors(
    source: PlanSource, device: torch.device
) -> tuple[dict[str, torch.Tensor], tuple[Job, ...]]:
    """Return an uninitialized state dict, and the jobs that fill it.

    A tied tensor is one tensor under each of its names.
    """
    state: dict[str, torch.Tensor] = {}
    jobs = []
    for number, tensor in enumerate(source.plan.tensors):
        value = torch.empty(tensor.shape, dtype=tensor.dtype.torch, device=device)
        jobs.append(Job(number, window_of(value), value))
        state |= dict.fromkeys((tensor.name, *tensor.aliases), value)
    return state, tuple(jobs)


def one_tensor(
    source: PlanSource, name: str, index: Index, device: torch.device
) -> tuple[torch.Tensor, Job]:
    """Return memory for `tensor[index]` of the tensor `name`, and the job that fills it.

    Raises:
        KeyError: The checkpoint has no such tensor.
        IndexError: The index is outside the tensor, or its members outnumber the axes.
        ValueError: The step of a slice is not 1 or more.
        TypeError: A member of the index is neither an integer, a slice nor `...`.
    """
    number = TensorNumbers(source.plan).find(name)
    tensor = source.plan.tensors[number]
    part = index_slice(index, tensor.shape)
    value = torch.empty(part.shape, dtype=tensor.dtype.torch, device=device)
    return value, Job(number, part, value)
