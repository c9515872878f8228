"""Checkpoints in the memory of a process: a module, a state dict or one tensor, without a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from seedpoint.models.files.slices import Index
from seedpoint.models.ranks.fill import Job, fill, kernels
from seedpoint.models.ranks.load import LoadedKeys, Options, prepare
from seedpoint.models.ranks.names import Rename
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.ranks.state_dict import all_tensors, one_tensor
from seedpoint.service.local.kernel_cache import compile_once
from seedpoint.service.local.progress import progress
from seedpoint.sources import open_source

if TYPE_CHECKING:
    from seedpoint.sources import Source


def load_into(
    module: torch.nn.Module,
    source: Source,
    *,
    strict: bool = True,
    device: torch.device | str | None = None,
    buffers: bool = True,
    prefix: str = "",
    rename: Rename | None = None,
) -> LoadedKeys:
    """Fill a module with a checkpoint's values, computed in place, and return the names left over.

    A process computes the elements that it holds and no others: those of the local shard of a
    DTensor (FSDP2, tensor parallelism), placed in any way but `Partial`. They are the bits of the
    whole checkpoint, whatever the mesh. Values are converted once from the plan's dtype to the
    parameter's if these differ. `torch.get_num_threads()` threads work (`OMP_NUM_THREADS`).

    Args:
        module: A module of any device, wrapped or not. Its tensors on `meta` are allocated, and
            parameters that the checkpoint ties and `to_empty` has separated are tied again.
        source: A spec, a plan, its canonical bytes, a `Checkpoint` of this package or of the
            client, or the path of a checkpoint (a file, an index, a folder) or of a spec or plan in
            JSON.
        strict: Refuse a module and a checkpoint of different names. A module on `meta` keeps
            tensors there that the checkpoint lacks.
        device: Device for tensors on `meta`; by default that of a DTensor's mesh, else the CPU.
        buffers: Also set the buffers that no state dict holds, such as rotary frequencies.
        prefix: Name of the module in the whole model, for a part of it (`model.layers.3`).
        rename: Name in the checkpoint of a name in the whole model: a function, or a mapping of
            globs to names with the same captures (`{"blocks.{n}.wq": "layers.{n}.q_proj"}`).

    Raises:
        ModuleMismatch: The module does not fit; the error lists every difference.
        SpecError: The spec has faults; the error names the place of each.
        PlatformMismatch: The checkpoint is bound to another platform.
        FileFault: The file is not a checkpoint.
        ValueError: The plan has a format that this version does not know.
    """
    opened = open_source(source)
    chosen = None if device is None else torch.device(device)
    prepared = prepare(module, opened, Options(strict, chosen, buffers, prefix, rename))
    _fill(opened, prepared.jobs)
    return prepared.keys


def state_dict(source: Source, *, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Return all tensors of a checkpoint by name, tied ones as one tensor under each name.

    `source` is that of `load_into`, whose errors this raises too.
    """
    opened = open_source(source)
    state, jobs = all_tensors(opened, torch.device(device))
    _fill(opened, jobs)
    return state


def tensor(
    source: Source, name: str, index: Index = (), *, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Return `tensor[index]` of the tensor `name`, of which no other elements are kept.

    `source` is that of `load_into`, whose errors this raises too. An index has integers, slices and
    at most one `...`.

    Raises:
        KeyError: The checkpoint has no tensor of this name.
        IndexError: The index is outside the tensor; slices are not clamped.
        ValueError: The step of a slice is not 1 or more.
    """
    opened = open_source(source)
    value, job = one_tensor(opened, name, index, torch.device(device))
    _fill(opened, [job])
    return value


def _fill(source: PlanSource, jobs: Sequence[Job]) -> None:
    """Fill memory on the threads of torch, with a progress line on the first process."""
    compile_once(kernels(source, jobs))
    total_bytes = sum(job.nbytes for job in jobs)
    with progress("initializing", total_bytes, shown=_rank() == 0) as advance:
        fill(source, jobs, threads=torch.get_num_threads(), advance=advance)


def _rank() -> int:
    group = torch.distributed
    return group.get_rank() if group.is_available() and group.is_initialized() else 0
