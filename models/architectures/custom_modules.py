"""Modules of Custom layers, which hold tensors and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from seedpoint.models.architectures import custom
from seedpoint.models.architectures.shapes import Shapes, entries
from seedpoint.models.architectures.torch_errors import TORCH_ERRORS, message_of
from seedpoint.models.validation.faults import join


class Custom(nn.Module):
    """Module of a `Custom` layer; a `class_name` gives a subclass of that name."""


def custom_module(
    layer: custom.Custom, path: str, cls: type[Custom], fault: Callable[[str, str], None]
) -> Custom:
    """Return a `cls` with the uninitialized tensors of `layer`; `path` is its place in the spec.

    Parameters whose dtype is neither floating nor complex take no gradient. A duplicate name, or
    one that torch refuses, is reported to `fault` with its path.
    """
    module = cls()
    for listing in ("parameters", "buffers"):
        shapes: Shapes = getattr(layer, listing)
        for key, name, shaped in entries(shapes):
            place = join(path, listing, key)
            name_path = join(place, "name") if isinstance(key, int) else place
            if name in module._parameters or name in module._buffers:
                fault(name_path, f"{name!r} is already the name of a tensor of this layer")
                continue
            try:
                _register(module, listing, name, shaped.shape, shaped.element.torch)
            except TORCH_ERRORS as error:
                fault(name_path, message_of(error))
    return module


def _register(
    module: nn.Module, listing: str, name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    tensor = torch.empty(shape, dtype=dtype)
    if listing == "buffers":
        module.register_buffer(name, tensor)
    else:
        differentiable = dtype.is_floating_point or dtype.is_complex
        module.register_parameter(name, nn.Parameter(tensor, differentiable))
