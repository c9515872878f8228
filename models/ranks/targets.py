"""Memory of a module: tensors on `meta` get theirs, and ties that this breaks are made again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seedpoint.models.ranks.dtensors import default_device, fully_sharded, is_dtensor, is_wrapped

Place = tuple[dict[str, Any], str]
"""Dictionary of a module (`_parameters` or `_buffers`), and the key of a tensor in it."""


def saved(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the module's state dict, as the objects that the module holds."""
    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def unsaved(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are not in the module's state dict (`persistent=False`)."""
    return {
        f"{prefix}.{local}" if prefix else local: each._buffers[local]
        for prefix, each in module.named_modules(remove_duplicate=False)
        for local in each._buffers
        if local in each._non_persistent_buffers_set and each._buffers[local] is not None
    }


def materialize(module: nn.Module, values: Iterable[Tensor], device: torch.device | None) -> None:
    """Give those of the module's tensors `values` that are on `meta` memory, uninitialized.

    The memory is on `device`, by default that of a DTensor's mesh, else the CPU. The tensors keep
    their ties and attributes. The others, `meta` or not, stay as they are.
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
            made[id(value)] = torch.empty_like(value, device=device or default_device(value))
        return made[id(value)]

    module._apply(memory)
    for key, tied in places.items():
        _share(tied)
        holder, name = tied[0]
        holder[name].__dict__.update(attributes[key])
    if any(len(tied) > 1 for tied in places.values()):
        _notice(module)


def tie(module: nn.Module, groups: Iterable[Sequence[str]], state: Mapping[str, Tensor]) -> None:
    """Make one parameter of each group of names that are plain parameters of the same kind.

    `state` are the module's tensors by name (`saved`). `to_empty` separates tied parameters, and
    the checkpoint knows which were one. Parameters that FSDP or DistributedDataParallel manages
    stay as they are: these keep their own references.
    """
    if is_wrapped(module):
        return
    changed = False
    for names in groups:
        values = [state[name] for name in names]
        if len(set(map(id, values))) == 1 or not all(_alike(values[0], each) for each in values):
            continue
        wanted = {id(value): value for value in values}
        _share([place for places in _places(module, wanted).values() for place in places])
        changed = True
    if changed:
        _notice(module)


def _places(module: nn.Module, wanted: Collection[int]) -> dict[int, list[Place]]:
    """Return all places of the tensors with these ids, in the order of the modules."""
    found: dict[int, list[Place]] = {}
    for each in module.modules():
        for holder in (each._parameters, each._buffers):
            for name, value in holder.items():
                if id(value) in wanted:
                    found.setdefault(id(value), []).append((holder, name))
    return found


def _share(places: Sequence[Place]) -> None:
    """Put the tensor of the first place into all of them."""
    holder, name = places[0]
    for other, key in places[1:]:
        other[key] = holder[name]


def _notice(module: nn.Module) -> None:
    """Have modules that keep references to their parameters take the present ones."""
    unchanged: Callable[[Tensor], Tensor] = _same
    for each in [*fully_sharded(module), *_recurrent(module)]:
        each._apply(unchanged)


def _recurrent(module: nn.Module) -> list[nn.Module]:
    return [each for each in module.modules() if isinstance(each, nn.RNNBase)]


def _same(value: Tensor) -> Tensor:
    return value


def _alike(one: Tensor, other: Tensor) -> bool:
    """Return whether two parameters differ in nothing but their values."""
    if not isinstance(one, nn.Parameter) or type(one) is not type(other):
        return False
    same = (one.shape, one.dtype, one.device, one.requires_grad) == (
        *(other.shape, other.dtype, other.device),
        other.requires_grad,
    )
    if same and is_dtensor(one) and is_dtensor(other):
        return bool(one.device_mesh == other.device_mesh and one.placements == other.placements)
    return same
