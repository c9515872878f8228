"""Flows that fill a module or a state dict: by the core from the plan, else over HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import torch
from safetensors.torch import load
from torch import Tensor, nn

from seedpoint_client.errors import Problem
from seedpoint_client.flows.effects import Do, Flow, Together, perform
from seedpoint_client.flows.routes import Routes, Subject
from seedpoint_client.loading import modules
from seedpoint_client.loading.match import LoadedKeys, Options, Via, prepare
from seedpoint_client.loading.windows import Window, local, windows, windows_of
from seedpoint_client.types import Tensor as Description

PIECE_BYTES = 16 << 20  # Most bytes of one request, which are in memory three times.
AT_ONCE = 4  # requests

CORE = "seedpoint"
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Source:
    """Plan with the buffers that no state dict holds, as `seedpoint.load_into` asks for them."""

    canonical: bytes
    values: Mapping[str, Tensor]

    def plan(self) -> bytes:
        return self.canonical

    def buffers(self) -> Mapping[str, Tensor]:
        return self.values


def load_into(
    routes: Routes, subject: Subject, module: nn.Module, options: Options
) -> Flow[LoadedKeys]:
    """Fill `module`; the flow of `Client.load_into`."""
    buffers = None
    if options.buffers and modules.unsaved(module):
        buffers = yield from _buffers_if_known(routes, subject)
    if (core := _core(options.via)) is not None:
        plan = yield from routes.plan(subject)
        source = plan if buffers is None else Source(plan, buffers)
        filling = partial(
            core.load_into,
            *(module, source),
            strict=options.strict,
            device=options.device,
            buffers=options.buffers,
        )
        try:
            keys = yield from perform(Do(filling))
            return LoadedKeys(list(keys.missing_keys), list(keys.unexpected_keys))
        except core.PlatformMismatch:  # Its values cannot be computed here; the service has them.
            if options.via == "plan":
                raise
    checkpoint = yield from routes.resolve(subject)
    given = (buffers or {}) if options.buffers else None
    prepared = yield from perform(Do(partial(prepare, module, checkpoint, given, options)))
    filling_flows = [
        _fill(routes, subject, description["name"], piece, local(value))
        for value, description in prepared.pairs
        for window in windows_of(value)
        for piece in window.pieces(_piece_elements(description))
    ]
    yield from perform(Together(filling_flows, AT_ONCE))
    return prepared.keys


def state_dict(routes: Routes, subject: Subject, device: Any, via: Via) -> Flow[dict[str, Tensor]]:
    """Return all tensors by name; the flow of `Client.state_dict`."""
    if (core := _core(via)) is not None:
        plan = yield from routes.plan(subject)
        try:
            state = yield from perform(Do(partial(core.state_dict, plan, device=device)))
            return cast("dict[str, Tensor]", state)
        except core.PlatformMismatch:
            if via == "plan":
                raise
    checkpoint = yield from routes.resolve(subject)
    found: dict[str, Tensor] = {}
    for description in checkpoint.resource["tensors"]:
        value = yield from _whole(routes, subject, description, device)
        found |= dict.fromkeys((description["name"], *description["aliases"]), value)
    return found


def buffers(routes: Routes, subject: Subject) -> Flow[dict[str, Tensor]]:
    """Return the buffers that no state dict holds; the flow of `Client.buffers`."""
    data = yield from routes.buffers(subject)
    return (yield from perform(Do(partial(load, data))))


def _buffers_if_known(routes: Routes, subject: Subject) -> Flow[dict[str, Tensor] | None]:
    """Return the buffers, None from a service that does not give them."""
    try:
        return (yield from buffers(routes, subject))
    except Problem as problem:
        if problem.status != NOT_FOUND:
            raise
        return None


def _core(via: Via) -> Any:
    """Return the package `seedpoint`, if it is to be used and can fill modules."""
    if via == "http":
        return None
    core = import_module(CORE) if find_spec(CORE) is not None else None
    if core is not None and hasattr(core, "load_into"):
        return core
    if via == "plan":
        raise ImportError(f'via="plan" needs the package {CORE}, which has load_into', name=CORE)
    return None


def _whole(routes: Routes, subject: Subject, description: Description, device: Any) -> Flow[Tensor]:
    """Return a whole tensor, in pieces if it is large."""
    name, shape = description["name"], description["shape"]
    (first, *rest) = [
        piece
        for window in windows([[range(size)] for size in shape])
        for piece in window.pieces(_piece_elements(description))
    ]
    data = yield from _tensor(routes, subject, name, first)
    if not rest:
        return data.to(device)
    value = torch.empty(shape, dtype=data.dtype, device=device)
    value[first.local].copy_(data)
    flows = [_fill(routes, subject, name, piece, value) for piece in rest]
    yield from perform(Together(flows, AT_ONCE))
    return value


def _fill(routes: Routes, subject: Subject, name: str, window: Window, out: Tensor) -> Flow[None]:
    """Copy a window of the tensor `name` to its place in `out`."""
    data = yield from _tensor(routes, subject, name, window)
    yield from perform(Do(partial(_copy, out, window, data)))


def _copy(out: Tensor, window: Window, data: Tensor) -> None:
    with torch.no_grad():  # This setting is a thread's own.
        out[window.local].copy_(data)


def _tensor(routes: Routes, subject: Subject, name: str, window: Window) -> Flow[Tensor]:
    data = yield from routes.tensor(subject, name, window.whole)
    return load(data)[name]


def _piece_elements(description: Description) -> int:
    """Return the number of elements in `PIECE_BYTES`."""
    numel = math.prod(description["shape"])
    return max(1, PIECE_BYTES * numel // max(description["bytes"], 1))
