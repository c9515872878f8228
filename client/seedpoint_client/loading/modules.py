"""Modules: their tensors beside those of a checkpoint, and memory for tensors on `meta`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seedpoint_client.loading.windows import PlacementError, is_dtensor, windows_of
from seedpoint_client.types import Tensor as Description

WRAPPERS = frozenset({"_orig_mod", "_checkpoint_wrapped_module"})
"""Segments that `torch.compile` and activation checkpointing add to names."""

_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "C64": "complex64",
    "C128": "complex128",
}
EXACT: Mapping[str, torch.dtype] = {code: getattr(torch, name) for code, name in _NAMES.items()}
"""Dtypes that are not converted, by the codes of safetensors; all others are floating."""

Place = tuple[dict[str, Any], str]
"""Dictionary of a module (`_parameters` or `_buffers`), and the key of a tensor in it."""


def saved(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the module's state dict, as the objects that the module holds."""
    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def unsaved(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are not in the module's state dict (`persistent=False`)."""
    return {
        f"{prefix}.{name}" if prefix else name: value
        for prefix, each in module.named_modules(remove_duplicate=False)
        for name, value in each._buffers.items()
        if value is not None and name in each._non_persistent_buffers_set
    }


def plain_name(name: str, known: Collection[str]) -> str:
    """Return the checkpoint's name of a module's tensor: without the segments of wrappers."""
    segments = [segment for segment in name.split(".") if segment not in WRAPPERS]
    plain = ".".join(segments)
    if plain not in known and segments[0] == "module":  # DistributedDataParallel
        return ".".join(segments[1:])
    return plain


def unfit(name: str, value: Tensor, description: Description) -> Iterator[str]:
    """Yield the reasons why `value` cannot take a checkpoint's tensor."""
    if list(value.shape) != description["shape"]:
        yield (
            f"{name}: shape {list(value.shape)} in the module, {description['shape']} in the "
            "checkpoint"
        )
        return
    dtype = EXACT.get(description["dtype"])
    if not (value.dtype.is_floating_point if dtype is None else value.dtype == dtype):
        yield (
            f"{name}: dtype {value.dtype} in the module, {description['dtype']} in the checkpoint"
        )
    try:
        windows_of(value)
    except PlacementError as error:
        yield f"{name}: {error}"


def flattened(module: nn.Module) -> Iterator[str]:
    """Yield the names of the modules that FSDP1 wraps, whose parameters are flattened."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kind = getattr(fsdp, "FullyShardedDataParallel", ())
    return (name or "the module" for name, each in module.named_modules() if isinstance(each, kind))


def reshard(module: nn.Module) -> None:
    """Have FSDP2 hold the shards, and not what a forward pass has gathered."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kind = getattr(fsdp, "FSDPModule", ())
    for each in module.modules():
        if isinstance(each, kind):
            each.reshard()


def materialize(module: nn.Module, values: Iterable[Tensor], device: torch.device | None) -> None:
    """Give those of the module's tensors `values` that are on `meta` memory, uninitialized.

    The memory is on `device`, by default that of a DTensor's mesh, else the CPU. Ties are kept, and
    the other tensors stay as they are.
    """
    wanted = {id(value): value for value in values if value.is_meta}
    if not wanted:
        return
    places = _places(module, wanted)
    attributes = {key: dict(value.__dict__) for key, value in wanted.items()}
    made: dict[int, Tensor] = {}

    def memory(value: Tensor) -> Tensor:
        if id(value) not in wanted or not value.is_meta:
            return value
        if id(value) not in made:
            made[id(value)] = torch.empty_like(value, device=device or _default_device(value))
        return made[id(value)]

    module._apply(memory)
    for key, tied in places.items():
        _share(tied)
        holder, name = tied[0]
        holder[name].__dict__.update(attributes[key])
    if any(len(tied) > 1 for tied in places.values()):
        module._apply(_same)  # FSDP and recurrent layers keep references of their own.


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a clause that names the nearest of `names`, empty if none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.8)
    return f"; did you mean {near[0]!r}?" if near else ""


def _default_device(value: Any) -> torch.device:
    return torch.device(value.device_mesh.device_type if is_dtensor(value) else "cpu")


def _places(module: nn.Module, wanted: Mapping[int, Tensor]) -> dict[int, list[Place]]:
    """Return all places of the tensors with these ids, in the order of the modules."""
    found: dict[int, list[Place]] = {}
    for each in module.modules():
        for holder in (each._parameters, each._buffers):
            for name, value in holder.items():
                if id(value) in wanted:
                    found.setdefault(id(value), []).append((holder, name))
    return found


def _share(places: list[Place]) -> None:
    """Put the tensor of the first place into all of them."""
    holder, name = places[0]
    for other, key in places[1:]:
        other[key] = holder[name]


def _same(value: Tensor) -> Tensor:
    return value
