"""Detection of layers whose tensors are too large, without allocating a tensor."""

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
    """Dispatch mode that skips random fills.

    On the meta device, random fills import torch's compiler, which takes a second.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise a wrapper around every operation imports the compiler, too

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
    """Return a message about the tensor of a layer that is too large, or None.

    If a bound from its arguments leaves the size open, the layer is constructed on the meta device,
    where tensors have shapes but no elements. Torch's own refusal is returned as it is.
    """
    if layer.type.startswith("Lazy") or layer.layers() or elements_bound(layer) <= MAX_ELEMENTS:
        return None
    try:
        return oversize_of(_on_meta(layer))
    except TORCH_ERRORS as error:
        return message_of(error)


def tensors_of(layer: TorchLayer) -> int:
    """Return the number of tensors of a layer without inner modules, 0 if it is unknown.

    It is unknown for Lazy layers and for arguments that torch refuses.
    """
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
    """Return a message about the tensor of a module that is too large, or None."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.numel() > MAX_ELEMENTS:
            return f"{name} of shape {list(tensor.shape)} has more than 2^53 - 1 elements"
    return None


def elements_bound(layer: TorchLayer) -> float:
    """Return an upper bound on the number of elements of the layer's largest tensor.

    No class of torch.nn multiplies an integer argument into one shape more than twice (an
    `embed_dim` by itself), a kernel size more than three times, or a factor beyond 8 (the gates and
    directions of an LSTM). AdaptiveLogSoftmaxWithLoss divides by a float, so its bound is infinite.
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
