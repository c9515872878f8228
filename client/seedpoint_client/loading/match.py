"""Match of a module with a checkpoint: which tensor is which, and every difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from seedpoint_client.checkpoint import Checkpoint
from seedpoint_client.loading import modules
from seedpoint_client.types import Tensor as Description

Via = Literal["auto", "plan", "http"]
"""Source of values: the plan, computed by the core; the service; `auto`: the plan if possible."""


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of `Client.load_into`, which documents them."""

    strict: bool = True
    device: Any = None
    buffers: bool = True
    via: Via = "auto"


class LoadedKeys(NamedTuple):
    """Names that only one side has, as `torch.nn.Module.load_state_dict` returns them.

    `missing_keys` are tensors of the module that the checkpoint lacks, `unexpected_keys` tensors of
    the checkpoint that the module lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class Prepared(NamedTuple):
    """Tensors of a module with memory, each with the checkpoint's tensor, and the names left."""

    pairs: list[tuple[Tensor, Description]]
    keys: LoadedKeys


def prepare(
    module: nn.Module,
    checkpoint: Checkpoint,
    buffers: Mapping[str, Tensor] | None,
    options: Options,
) -> Prepared:
    """Match `module` with `checkpoint`, allocate its tensors on `meta`, and set its buffers.

    `buffers` are the values of those that no state dict holds, None if they are not to be set.

    Raises:
        RuntimeError: The module does not fit, with every difference; it is unchanged.
    """
    differences = [
        f"{name} is wrapped by FullyShardedDataParallel (FSDP1), which flattens parameters; use "
        "fully_shard, or load the module before it is wrapped"
        for name in modules.flattened(module)
    ]
    if differences:
        raise RuntimeError(_message(module, checkpoint, differences))
    modules.reshard(module)
    described = _by_name(checkpoint)
    state = modules.saved(module)
    names = {name: modules.plain_name(name, described) for name in state}
    pairs = {name: described[known] for name, known in names.items() if known in described}
    keys = _left_over(checkpoint, list(state), pairs)
    if options.strict:
        differences += (
            f"{name}: in the module and not in the checkpoint"
            + modules.did_you_mean(names[name], keys.unexpected_keys)
            for name in keys.missing_keys
        )
        differences += (
            f"{name}: in the checkpoint and not in the module" for name in keys.unexpected_keys
        )
    for name, description in pairs.items():
        differences += modules.unfit(name, state[name], description)
    given = _given(module, buffers, differences)
    if differences:
        raise RuntimeError(_message(module, checkpoint, differences))
    unsaved = modules.unsaved(module)
    values = [*(state[name] for name in pairs), *(unsaved[name] for name in given)]
    device = None if options.device is None else torch.device(options.device)
    modules.materialize(module, values, device)
    unsaved, state = modules.unsaved(module), modules.saved(module)
    with torch.no_grad():
        for name, value in given.items():
            unsaved[name].copy_(value)
    distinct = {id(state[name]): (state[name], description) for name, description in pairs.items()}
    return Prepared(list(distinct.values()), keys)


def _by_name(checkpoint: Checkpoint) -> dict[str, Description]:
    """Return the descriptions of a checkpoint's tensors by each of their names."""
    return {
        name: description
        for description in checkpoint.resource["tensors"]
        for name in (description["name"], *description["aliases"])
    }


def _left_over(
    checkpoint: Checkpoint, names: list[str], pairs: Mapping[str, Description]
) -> LoadedKeys:
    taken = {description["name"] for description in pairs.values()}
    described = checkpoint.resource["tensors"]
    return LoadedKeys(
        [name for name in names if name not in pairs],
        [each["name"] for each in described if each["name"] not in taken],
    )


def _given(
    module: nn.Module, buffers: Mapping[str, Tensor] | None, differences: list[str]
) -> dict[str, Tensor]:
    """Return the values of the module's buffers that no state dict holds, and add differences."""
    found = {}
    for name, buffer in modules.unsaved(module).items():
        value = (buffers or {}).get(modules.plain_name(name, buffers or {}))
        if value is not None and value.shape != buffer.shape:
            differences.append(
                f"{name}: shape {list(buffer.shape)} in the module, {list(value.shape)} beside the "
                "checkpoint"
            )
        elif value is not None:
            found[name] = value
        elif buffers is not None and buffer.is_meta:
            differences.append(
                f"{name}: a buffer on meta that no state dict holds, and whose values the service "
                "does not know; compute it first, or pass buffers=False"
            )
    return found


def _message(module: nn.Module, checkpoint: Checkpoint, differences: list[str]) -> str:
    count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
    lines = "".join(f"\n  {difference}" for difference in differences)
    return f"{type(module).__name__} does not fit checkpoint {checkpoint.id[:12]}: {count}{lines}"
