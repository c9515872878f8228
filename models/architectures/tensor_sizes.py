"""Layers whose tensors nobody could hold, found without making one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from seedpoint.models.architectures.base import COMMON
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.limits import MAX_ELEMENTS
from seedpoint.models.architectures.torch_errors import TORCH_ERRORS, message_of


class _Unfilled(TorchDispatchMode):
    """Leaves random fills out: on the meta device they import torch's compiler, for a second."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else every operation goes through a wrapper that imports it, too

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and func._schema.is_mutable:
            return args[0]
        return func(*args, **(kwargs or {}))


def oversize(layer: TorchLayer) -> str | None:
    """What is too large about a layer, or None.

    Where a bound from its arguments leaves it open, the layer is constructed on the meta
    device, where tensors have shapes but no elements; torch's own refusal is passed on.
    """
    if layer.type.startswith("Lazy") or layer.layers() or _bound(layer) <= MAX_ELEMENTS:
        return None
    try:
        return oversize_of(_on_meta(layer))
    except TORCH_ERRORS as error:
        return message_of(error)


def tensors_of(layer: TorchLayer) -> int:
    """How many tensors a layer has that makes no modules; 0 where only building it would tell."""
    if layer.type.startswith("Lazy"):
        return 0
    try:
        module = _on_meta(layer)
    except TORCH_ERRORS:
        return 0
    return len(module.state_dict())


def _on_meta(layer: TorchLayer) -> nn.Module:
    with torch.device("meta"), _Unfilled():
        return layer.torch_class(**layer.arguments())


def oversize_of(module: nn.Module) -> str | None:
    """What is too large about the tensors of a module, or None."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.numel() > MAX_ELEMENTS:
            return f"{name} of shape {list(tensor.shape)} has more than 2^53 - 1 elements"
    return None


def _bound(layer: TorchLayer) -> float:
    """At least the number of elements of the layer's largest tensor.

    No class of torch.nn multiplies an integer argument into one shape more than twice (an
    `embed_dim` by itself), or a kernel size more than three times, nor by a factor beyond 8 (the
    gates and directions of an LSTM). AdaptiveLogSoftmaxWithLoss divides by a float.
    """
    if layer.type == "AdaptiveLogSoftmaxWithLoss":
        return math.inf
    bound = 8
    for name, size in _integers(layer):
        bound *= max(1, abs(size)) ** (3 if name == "kernel_size" else 2)
    return bound


def _integers(layer: TorchLayer) -> Iterator[tuple[str, int]]:
    for name in type(layer).model_fields:
        if name in COMMON:
            continue
        value = getattr(layer, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, int):
                yield name, item
