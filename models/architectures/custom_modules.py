"""Modules of layers that list their tensors, which hold these and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from seedpoint.models.architectures.containers import WithTensors
from seedpoint.models.architectures.limits import MAX_LAYER_DEPTH
from seedpoint.models.architectures.shapes import Shapes, entries
from seedpoint.models.architectures.tensors import Tensors, tensor_list
from seedpoint.models.architectures.torch_errors import TORCH_ERRORS, message_of
from seedpoint.models.dtypes import DType
from seedpoint.models.errors import SpecError
from seedpoint.models.validation.faults import join

Report = Callable[[str, str], None]


class Custom(nn.Module):
    """Module of a `Custom` layer; a `class_name` gives a subclass of that name."""


def register_tensors(module: nn.Module, layer: WithTensors, path: str, fault: Report) -> None:
    """Give `module` the uninitialized tensors of `layer`; `path` is its place in the spec.

    Parameters whose dtype is neither floating nor complex take no gradient. A duplicate name, or
    one that torch refuses, is reported to `fault` with its path.
    """
    for listing in ("parameters", "buffers"):
        shapes: Shapes = getattr(layer, listing)
        for key, name, shaped in entries(shapes):
            place = join(path, listing, key)
            name_path = join(place, "name") if isinstance(key, int) else place
            if name in module._parameters or name in module._buffers:
                fault(name_path, f"{name!r} is already the name of a tensor of this layer")
                continue
            if shaped.element.per_item > 1:
                fault(join(place, "dtype"), _listed_only(shaped.element))
                continue
            try:
                _register(module, listing, name, shaped.shape, shaped.element.torch)
            except TORCH_ERRORS as error:
                fault(name_path, message_of(error))


def module_of_list(tensors: Tensors, path: str, fault: Report) -> nn.Module:
    """Return a module with the uninitialized tensors of a list; `path` is its place in the spec.

    The parts of a dotted name but the last are modules. Names that modules cannot hold are reported
    to `fault` with their path.
    """
    root = nn.Module()
    try:
        listed = tensor_list(tensors, root=path).tensors
    except SpecError as error:
        for each in error.faults:
            fault(each.path, each.message)
        return root
    for tensor in listed:
        *outer, name = tensor.name.split(".")
        if len(outer) > MAX_LAYER_DEPTH:
            fault(tensor.path, f"nested too deep; at most {MAX_LAYER_DEPTH} layers")
            continue
        if tensor.dtype.per_item > 1:
            fault(join(tensor.path, "dtype"), _listed_only(tensor.dtype))
            continue
        holder = root
        try:
            for segment in outer:
                if segment not in holder._modules:
                    holder.add_module(segment, nn.Module())
                holder = holder.get_submodule(segment)
            _register(holder, "parameters", name, tensor.shape, tensor.dtype.torch)
        except TORCH_ERRORS as error:
            fault(tensor.path, message_of(error))
    return root


def _listed_only(dtype: DType) -> str:
    return f'{dtype} is possible only in an architecture that is a list of tensors ("tensors")'


def _register(
    module: nn.Module, listing: str, name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    tensor = torch.empty(shape, dtype=dtype)
    if listing == "buffers":
        module.register_buffer(name, tensor)
    else:
        differentiable = dtype.is_floating_point or dtype.is_complex
        module.register_parameter(name, nn.Parameter(tensor, differentiable))
