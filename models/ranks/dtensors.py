"""DTensors and FSDP modules, as far as filling them needs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from seedpoint.models.ranks.placements import (
    Placement,
    PlacementError,
    Replicate,
    Shard,
    StridedShard,
    local_indices,
    whole,
)
from seedpoint.models.ranks.windows import Window


def is_dtensor(value: object) -> TypeGuard[Any]:
    """Return whether `value` is a DTensor; torch.distributed is not imported to find out."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(value, tensors.DTensor)


def is_other_subclass(value: Any) -> bool:
    """Return whether `value` consists of inner tensors, as quantized ones do, and is no DTensor."""
    return is_traceable_wrapper_subclass(value) and not is_dtensor(value)


def window_of(value: Tensor) -> Window:
    """Return the part of the whole tensor that this process holds of `value`.

    Raises:
        PlacementError: The process is not in the mesh, or the placements are of a kind that no
            initial values can have.
    """
    if not is_dtensor(value):
        shape = tuple(value.shape)
        return Window.of(shape, [whole(size) for size in shape])
    mesh = value.device_mesh
    coordinate = mesh.get_coordinate()
    if coordinate is None:
        raise PlacementError(
            f"this process, rank {torch.distributed.get_rank()}, is not in its mesh "
            f"{mesh.mesh.tolist()}"
        )
    shape = tuple(value.shape)
    placements = [placement_of(each) for each in value.placements]
    indices = local_indices(shape, tuple(mesh.mesh.shape), coordinate, placements)
    window = Window.of(shape, indices)
    held = tuple(local(value).shape)
    # An empty shard may have any shape with a zero in it.
    if window.numel != math.prod(held) or (window.numel and window.shape != held):
        raise PlacementError(
            f"its placements {value.placements} on the mesh {list(mesh.mesh.shape)} give this "
            f"process {list(window.shape)} of {list(shape)}, and it holds {list(held)}"
        )
    return window


def placement_of(placement: Any) -> Placement:
    """Return DTensor's placement in the words of `placements`.

    Raises:
        PlacementError: The placement is `Partial`, or of an unknown kind.
    """
    kinds = sys.modules["torch.distributed.tensor.placement_types"]
    if isinstance(placement, kinds._StridedShard):  # before Shard, its base in older versions
        return StridedShard(placement.dim, int(placement.split_factor))
    if isinstance(placement, kinds.Shard):
        return Shard(placement.dim)
    if isinstance(placement, kinds.Replicate):
        return Replicate()
    if isinstance(placement, kinds.Partial):
        raise PlacementError(
            f"its placement {placement} holds summands, not elements; redistribute it to "
            "Replicate() or Shard(dim) first"
        )
    raise PlacementError(f"its placement {placement} is not supported")


def local(value: Tensor) -> Tensor:
    """Return the memory of `value` in this process, detached from autograd."""
    with torch.no_grad():
        found: Tensor = value.to_local() if is_dtensor(value) else value
        return found.detach()


def default_device(value: Tensor) -> torch.device:
    """Return the device for a tensor on `meta`: that of its mesh, else the CPU."""
    return torch.device(value.device_mesh.device_type if is_dtensor(value) else "cpu")


def flat_parameters(module: nn.Module) -> Iterator[str]:
    """Yield the names of the modules that FSDP1 wraps, whose parameters are flattened."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return
    for name, each in module.named_modules():
        if isinstance(each, fsdp.FullyShardedDataParallel):
            yield name


def fully_sharded(module: nn.Module) -> list[Any]:
    """Return the modules to which `fully_shard` (FSDP2) was applied."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kind = getattr(fsdp, "FSDPModule", None)
    return [] if kind is None else [each for each in module.modules() if isinstance(each, kind)]


def is_wrapped(module: nn.Module) -> bool:
    """Return whether a wrapper keeps its own references to the parameters."""
    parallel = sys.modules.get("torch.nn.parallel")
    kinds = () if parallel is None else (parallel.DistributedDataParallel,)
    return bool(fully_sharded(module)) or any(isinstance(each, kinds) for each in module.modules())
