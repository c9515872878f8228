"""Ties: tensors that a spec makes one with `tie`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from seedpoint.models.architectures.construct import Construction, Tie


class Slot(NamedTuple):
    """Place of a tensor in its module; it is the same under every name of a shared module."""

    module: nn.Module
    name: str

    @property
    def key(self) -> tuple[int, str]:
        return id(self.module), self.name

    @property
    def tensor(self) -> torch.Tensor:
        tensor = _tensor_of(self.module, self.name)
        assert tensor is not None
        return tensor

    @property
    def kind(self) -> str:
        return "parameter" if self.name in self.module._parameters else "buffer"


@dataclass(frozen=True, slots=True)
class _Link:
    own: Slot
    target: Slot
    tie: Tie

    @property
    def is_loop(self) -> bool:
        return self.own.key == self.target.key


def make_ties(root: nn.Module, construction: Construction) -> None:
    """Make every tie of a finished construction, including chains of ties.

    Faults (no tensor of that name, another shape or kind, a tensor tied twice or in a circle) are
    recorded in the construction. Copies of a Repeat may be tied to one of them.
    """
    links = list(_links(root, construction))
    own: dict[tuple[int, str], _Link] = {}
    for link in links:
        if not link.is_loop:
            first = own.setdefault(link.own.key, link)
            if first.target.key != link.target.key:
                construction.fault(link.tie.path, f"already tied, by {first.tie.path}")
    effective = {link.tie.path for link in links if not link.is_loop}
    for link in links:
        if link.tie.path not in effective:
            construction.fault(link.tie.path, f"{link.tie.target!r} is this tensor itself")
    # All targets are found before any tie is made, so that each is the tensor as constructed.
    ends = [(link, _end(link, own)) for link in own.values()]
    for link, end in ends:
        if end is None:
            construction.fault(link.tie.path, "these ties form a cycle")
        elif problem := _mismatch(link.own, end):
            construction.fault(link.tie.path, f"{link.tie.target!r} {problem}")
    if not construction.faults:
        tensors = [(link.own, end.tensor) for link, end in ends if end is not None]
        for slot, tensor in tensors:
            setattr(slot.module, slot.name, tensor)  # RNNs update their lists of weights


def _links(root: nn.Module, construction: Construction) -> Iterator[_Link]:
    for tie in construction.ties:
        if tie.path in construction.faults:
            continue  # already reported for another copy of a Repeat
        own = slot_of(tie.module, tie.own)
        target = slot_of(root, tie.target)
        if own is None:
            known = construction.hint(tie.own, names_of(tie.module))
            construction.fault(tie.path, f"this layer has no tensor {tie.own!r}; known: {known}")
        elif target is None:
            known = construction.hint(tie.target, names_of(root))
            if tie.target.endswith(".T") and slot_of(root, tie.target[:-2]) is not None:
                known = (
                    f"{known}; a tie is one tensor of one shape: for a transposed copy, a rule has "
                    f'the initializer {{"type": "copy", "of": "{tie.target[:-2]}", '
                    '"transpose": true}'
                )
            construction.fault(tie.path, f"no tensor {tie.target!r}; known: {known}")
        else:
            yield _Link(own, target, tie)


def slot_of(module: nn.Module, name: str) -> Slot | None:
    """Return the place of the tensor of that dotted name, relative to `module`, or None."""
    prefix, _, last = name.rpartition(".")
    try:
        holder = module.get_submodule(prefix)
    except AttributeError:
        return None
    return Slot(holder, last) if _tensor_of(holder, last) is not None else None


def _tensor_of(module: nn.Module, name: str) -> torch.Tensor | None:
    parameter = module._parameters.get(name)
    return module._buffers.get(name) if parameter is None else parameter


def names_of(module: nn.Module) -> Iterator[str]:
    """Yield the dotted names of the tensors of `module`."""
    for name, _ in module.named_parameters(remove_duplicate=False):
        yield name
    for name, _ in module.named_buffers(remove_duplicate=False):
        yield name


def _end(link: _Link, own: dict[tuple[int, str], _Link]) -> Slot | None:
    """Return the end of a chain of ties, None if it goes in a circle."""
    seen = {link.own.key}
    while link.target.key in own:
        if link.target.key in seen:
            return None
        seen.add(link.target.key)
        link = own[link.target.key]
    return link.target


def _mismatch(own: Slot, end: Slot) -> str | None:
    if own.kind != end.kind:
        return f"is a {end.kind}, but this is a {own.kind}"
    if own.tensor.shape != end.tensor.shape:
        return f"has shape {list(end.tensor.shape)}, but this has {list(own.tensor.shape)}"
    return None
