"""Layers whose tensors nobody could hold, found without making one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from models.architectures.base import COMMON
from models.architectures.layers import TorchLayer
from models.architectures.limits import MAX_ELEMENTS
from models.architectures.torch_errors import TORCH_ERRORS, message_of


def oversize(layer: TorchLayer) -> str | None:
    """What is too large about a layer, or None.

    Where a bound from its arguments leaves it open, the layer is constructed on the meta
    device, where tensors have shapes but no elements; torch's own refusal is passed on.
    """
    if layer.type.startswith("Lazy") or layer.layers() or _bound(layer) <= MAX_ELEMENTS:
        return None
    try:
        with torch.device("meta"):
            module = layer.torch_class(**layer.arguments())
    except TORCH_ERRORS as error:
        return message_of(error)
    return oversize_of(module)


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
