"""Preparation of a module for a checkpoint: match the tensors, allocate, list what is to be filled.

Nothing is generated here, and the module is not touched before every difference is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seedpoint.models.errors import ModuleMismatch
from seedpoint.models.generation.parts import each_run
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.ranks.dtensors import (
    flat_parameters,
    fully_sharded,
    is_other_subclass,
    local,
    window_of,
)
from seedpoint.models.ranks.fill import Job
from seedpoint.models.ranks.names import Names, Rename, TensorNumbers, did_you_mean
from seedpoint.models.ranks.placements import PlacementError
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.ranks.targets import materialize, saved, tie, unsaved


class LoadedKeys(NamedTuple):
    """Names that only one side has, as `torch.nn.Module.load_state_dict` returns them.

    `missing_keys` are tensors of the module that the checkpoint lacks, by the module's names;
    `unexpected_keys` are tensors of the checkpoint that the module lacks, by the checkpoint's.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `load_into`, which documents them."""

    strict: bool = True
    device: torch.device | None = None
    buffers: bool = True
    prefix: str = ""
    rename: Rename | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Module with memory for every tensor, what is to be filled, and the names left over."""

    jobs: tuple[Job, ...]
    keys: LoadedKeys


def prepare(module: nn.Module, source: PlanSource, options: Options) -> Prepared:
    """Match `module` with the plan of `source`, allocate its tensors on `meta`, set its buffers.

    Raises:
        ModuleMismatch: The module does not fit, with every difference; it is unchanged.
    """
    for each in fully_sharded(module):
        each.reshard()  # what is filled must be the shards, not what a forward pass gathered
    match = _Match(module, source, options)
    match.check()
    materialize(module, match.values(), options.device)
    state, buffers = saved(module), unsaved(module)
    tie(module, match.tied(), state)
    with torch.no_grad():
        for name, value in match.buffers.items():
            _give(buffers[name], value)
    state = saved(module)
    distinct = {id(state[name]): (number, state[name]) for name, number in match.numbers.items()}
    jobs = (Job(number, window_of(value), local(value)) for number, value in distinct.values())
    return Prepared(tuple(jobs), LoadedKeys(match.missing, match.unexpected))


@dataclass
class _Match:
    """Tensors of a module beside those of a plan."""

    module: nn.Module
    source: PlanSource
    options: Options
    state: Mapping[str, Tensor] = field(init=False)
    numbers: dict[str, int] = field(init=False)
    """Number of the plan's tensor for each name in the module."""
    missing: list[str] = field(init=False)
    unexpected: list[str] = field(init=False)
    buffers: dict[str, Tensor] = field(init=False, default_factory=dict)
    """Values of the buffers that no state dict holds, by their names in the module."""

    def __post_init__(self) -> None:
        self._differences = [
            f"{name or 'the module'} is wrapped by FullyShardedDataParallel (FSDP1), which "
            "flattens parameters; use fully_shard, or load the module before it is wrapped"
            for name in flat_parameters(self.module)
        ]
        if self._differences:
            raise self._mismatch()
        numbers = TensorNumbers(self.source.plan)
        names = self._names(numbers.by_name)
        self.state = saved(self.module)
        found = {name: names.find(name) for name in self.state}
        self.numbers = {name: numbers.by_name[at] for name, at in found.items() if at is not None}
        self.missing = [name for name, at in found.items() if at is None]
        taken = set(self.numbers.values())
        self.unexpected = [
            tensor.name
            for number, tensor in enumerate(self.source.plan.tensors)
            if number not in taken and any(map(names.covers, (tensor.name, *tensor.aliases)))
        ]
        if self.options.strict:
            self._differences += (
                f"{name}: in the module and not in the checkpoint"
                + did_you_mean(names.asked(name), self.unexpected)
                for name in self.missing
            )
            self._differences += (
                f"{name}: in the checkpoint and not in the module" for name in self.unexpected
            )
        for name, number in self.numbers.items():
            self._differences += _unfit(name, self.state[name], self.source.plan.tensors[number])
        if self.options.buffers:
            self._match_buffers()

    def check(self) -> None:
        """Raise ModuleMismatch if there are differences."""
        if self._differences:
            raise self._mismatch()

    def values(self) -> Iterator[Tensor]:
        """Yield the tensors of the module that get values."""
        yield from (self.state[name] for name in self.numbers)
        buffers = unsaved(self.module)
        yield from (buffers[name] for name in self.buffers)

    def tied(self) -> list[list[str]]:
        """Return the groups of names that are one tensor in the plan, and several in the module."""
        groups: dict[int, list[str]] = {}
        for name, number in self.numbers.items():
            groups.setdefault(number, []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    def _names(self, known: Mapping[str, object]) -> Names:
        return Names(frozenset(known), self.options.prefix, self.options.rename)

    def _match_buffers(self) -> None:
        """Find the values of the buffers that no state dict holds, if the module has any."""
        if not (mine := unsaved(self.module)):
            return
        values = self.source.buffers
        names = self._names(values)
        for name, buffer in mine.items():
            found = names.find(name)
            if found is not None:
                self.buffers[name] = values[found]
                if buffer.shape != values[found].shape:
                    self._differences.append(
                        f"{name}: shape {list(buffer.shape)} in the module, "
                        f"{list(values[found].shape)} beside the checkpoint"
                    )
            elif buffer.is_meta:
                self._differences.append(
                    f"{name}: a buffer on meta that no state dict holds, and whose values the "
                    "checkpoint's architecture does not know; compute it first, or pass "
                    "buffers=False and set it afterwards"
                )

    def _mismatch(self) -> ModuleMismatch:
        checkpoint = self.source.plan.id[:12]
        subject = f"{type(self.module).__name__} does not fit checkpoint {checkpoint}"
        return ModuleMismatch(subject, self._differences)


def _unfit(name: str, value: Tensor, planned: PlanTensor) -> Iterator[str]:
    """Yield the reasons why `value` cannot be filled with the plan's tensor."""
    if is_lazy(value):
        yield f"{name}: it is lazy and has no shape yet; run the module once, or give its sizes"
        return
    if is_other_subclass(value):
        yield f"{name}: a {type(value).__name__} holds its values in a form of its own"
        return
    if tuple(value.shape) != planned.shape:
        yield (
            f"{name}: shape {list(value.shape)} in the module, {list(planned.shape)} in the "
            "checkpoint"
        )
        return
    theirs = planned.dtype.torch
    if value.dtype != theirs and not (value.is_floating_point() and theirs.is_floating_point):
        yield f"{name}: {value.dtype} in the module, {theirs} in the checkpoint"
    try:
        window_of(value)
    except PlacementError as error:
        yield f"{name}: {error}"


def _give(buffer: Tensor, value: Tensor) -> None:
    """Copy a whole value to a buffer, or the part of it that this process holds."""
    flat = value.reshape(-1)
    window = window_of(buffer)
    parts = [flat[first:last] for first, last in each_run(window, 0, window.numel)]
    target = local(buffer)
    if parts:
        target.copy_(torch.cat(parts).view(target.shape))
