"""Filling: the bits of the whole, however the memory, the windows and the device are."""

from __future__ import annotations

import pytest
import torch

import seedpoint
from seedpoint.models.files.slices import index_slice
from seedpoint.models.generation.device_draws import Draws, ReferenceDraws, draws_on
from seedpoint.models.ranks import fill as module
from seedpoint.models.ranks.fill import Job, fill, kernels
from seedpoint.models.ranks.placements import Shard, StridedShard, local_indices
from seedpoint.models.ranks.windows import Window

Whole = dict[str, torch.Tensor]
ONE = [Shard(0)], [Shard(1)], [StridedShard(0, 2)], [StridedShard(1, 3)]


def reference(device: str) -> Draws:
    return ReferenceDraws(torch.device(device))


@pytest.mark.parametrize("draws", [draws_on, reference])
@pytest.mark.parametrize("placements", ONE, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_windows_of_every_tensor_are_filled(
    checkpoint: seedpoint.Checkpoint,
    whole: Whole,
    placements: list[Shard | StridedShard],
    draws: type,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PIECE_ELEMENTS", 100)
    jobs, expected, told = [], [], []
    for number, tensor in enumerate(checkpoint.plan.tensors):
        if len(tensor.shape) < 2:
            continue
        indices = local_indices(tensor.shape, (3,), (1,), placements)
        window = Window.of(tensor.shape, indices)
        out = torch.full(window.shape, torch.nan)
        jobs.append(Job(number, window, out))
        found = whole[tensor.name]
        for dim, parts in enumerate(indices):
            found = found.index_select(dim, torch.tensor([i for part in parts for i in part]))
        expected.append(found)
    fill(checkpoint.source, jobs, threads=threads, advance=told.append, draws=draws)
    for job, value in zip(jobs, expected, strict=True):
        assert torch.equal(job.out, value), checkpoint.plan.tensors[job.tensor].name
    assert sum(told) == sum(job.nbytes for job in jobs)


def test_runs_that_go_back_are_filled_on_a_device(
    checkpoint: seedpoint.Checkpoint, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPAN_ELEMENTS", 64)
    name = "tokens.weight"
    number = [tensor.name for tensor in checkpoint.plan.tensors].index(name)
    part = index_slice((slice(None, None, 7), slice(3, 20, 2)), whole[name].shape)
    out = torch.empty(part.shape)
    fill(checkpoint.source, [Job(number, part, out)], threads=1, advance=int, draws=reference)
    assert torch.equal(out, whole[name][::7, 3:20:2])


def test_only_the_kernels_of_the_jobs_are_named(checkpoint: seedpoint.Checkpoint) -> None:
    _, jobs = module_jobs(checkpoint)
    names = {"trunc_normal float32", "uniform float32", "orthogonal", "sparse"}
    assert kernels(checkpoint.source, jobs) == names
    empty = [Job(job.tensor, job.part, job.out[:0]) for job in jobs if job.out.ndim]
    assert kernels(checkpoint.source, empty) == set()


def module_jobs(checkpoint: seedpoint.Checkpoint) -> tuple[Whole, tuple[Job, ...]]:
    from seedpoint.models.ranks.state_dict import all_tensors

    return all_tensors(checkpoint.source, torch.device("cpu"))
