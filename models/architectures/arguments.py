"""Pydantic field types for the constructor arguments of torch.nn, from the real signatures."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union

import torch
from pydantic import Field
from torch import nn

from seedpoint.models.architectures.base import Flag, Number, integer, list_of
from seedpoint.models.architectures.json_type_union import Kind, either
from seedpoint.models.architectures.limits import MAX_TENSOR_DIMS

# Arguments left out of a spec: placement and dtype of tensors, and types that JSON cannot hold.
LEFT_OUT = frozenset({"device", "dtype", "process_group"})
# Further arguments left out, by class.
_LEFT_OUT_OF = {"LinearCrossEntropyLoss": frozenset({"weight", "options"})}

# Module-valued arguments: the name under which torch registers the module, None if torch copies it.
MODULES: dict[str, str | None] = {
    "encoder_layer": None,
    "decoder_layer": None,
    "norm": "norm",
    "custom_encoder": "encoder",
    "custom_decoder": "decoder",
}

# Least value of integer arguments; a key `Class.argument` takes precedence over `argument`.
# 0: torch builds with 0. 1: the constructor or every forward pass refuses 0. None: negative
# values have a meaning.
MINIMUM: dict[str, int | None] = {
    **dict.fromkeys(("in_features", "in1_features", "in2_features", "out_features"), 0),
    **dict.fromkeys(("in_channels", "out_channels", "num_channels", "num_features"), 0),
    **dict.fromkeys(("num_embeddings", "embedding_dim", "num_parameters"), 0),
    **dict.fromkeys(("input_size", "hidden_size", "proj_size", "num_layers"), 0),
    **{
        f"{rnn}.{size}": 1
        for rnn in ("RNN", "LSTM", "GRU")
        for size in ("input_size", "hidden_size", "num_layers")
    },
    **dict.fromkeys(("kernel_size", "stride", "dilation", "groups", "num_groups"), 1),
    **dict.fromkeys(("padding", "output_padding", "output_size", "normalized_shape"), 0),
    **dict.fromkeys(("Fold.output_size", "size", "upscale_factor", "downscale_factor"), 1),
    **dict.fromkeys(("FractionalMaxPool2d.output_size", "FractionalMaxPool3d.output_size"), 1),
    **dict.fromkeys(("embed_dim", "num_heads", "d_model", "nhead"), 1),
    **dict.fromkeys(("n_classes", "num_classes", "cutoffs"), 1),
    **dict.fromkeys(("kdim", "vdim", "dim_feedforward"), 0),
    **dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), 0),
    **{
        f"{kind}Pad{dims}d.padding": None  # a negative padding crops
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
        for dims in (1, 2, 3)
    },
    **dict.fromkeys(("dim", "start_dim", "end_dim", "unflattened_size"), None),
    **dict.fromkeys(("padding_idx", "divisor_override", "ignore_index"), None),
}

# List arguments that hold a tensor's shape.
_SHAPES = frozenset({"normalized_shape"})

# Allowed values of string arguments that torch documents but does not annotate.
CHOICES: dict[str, tuple[str, ...]] = {
    "activation": ("relu", "gelu"),
    "nonlinearity": ("tanh", "relu"),
    "padding": ("valid", "same"),
    "padding_mode": ("zeros", "reflect", "replicate", "circular"),  # annotated in later versions
    "reduction": ("none", "mean", "sum"),
    "GELU.approximate": ("none", "tanh"),
    "EmbeddingBag.mode": ("sum", "mean", "max"),
    "Upsample.mode": (
        *("nearest", "linear", "bilinear", "bicubic", "trilinear", "area"),
        "nearest-exact",
    ),
}

# Types of the arguments that torch does not annotate (Lazy norms, MultiheadAttention).
UNANNOTATED: dict[str, Any] = {
    **dict.fromkeys(("embed_dim", "num_heads"), int),
    **dict.fromkeys(("kdim", "vdim"), int | None),
    **dict.fromkeys(("eps", "dropout"), float),
    "momentum": float | None,
    **dict.fromkeys(("affine", "track_running_stats", "bias"), bool),
    **dict.fromkeys(("add_bias_kv", "add_zero_attn", "batch_first"), bool),
}


_SCALARS: dict[Any, Any] = {float: Number, bool: Flag}


def arguments_of(cls: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Return the constructor arguments of `cls` that a spec may give, in order.

    `LEFT_OUT` and private arguments are excluded. RNN, LSTM and GRU take `*args, **kwargs` and pass
    them to RNNBase, whose signature is used instead; `proj_size` belongs to LSTM alone.
    """
    own = inspect.signature(cls, eval_str=True).parameters
    if issubclass(cls, nn.RNNBase):
        own = inspect.signature(nn.RNNBase, eval_str=True).parameters
        hidden = {"mode"} if cls is nn.LSTM else {"mode", "proj_size"}
        own = types.MappingProxyType({k: v for k, v in own.items() if k not in hidden})
    arguments = {
        name: parameter
        for name, parameter in own.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in LEFT_OUT | _LEFT_OUT_OF.get(cls.__name__, frozenset())
        and not name.startswith("_")
    }
    if cls is nn.RNN:
        nonlinearity = inspect.signature(nn.RNNCell).parameters["nonlinearity"]
        arguments["nonlinearity"] = nonlinearity
    return arguments


def field_of(cls: type[nn.Module], parameter: inspect.Parameter) -> tuple[Any, Any]:
    """Return the pydantic (type, default) of one constructor argument."""
    alternatives = _alternatives(cls, parameter)
    default = parameter.default
    if default is inspect.Parameter.empty:
        return either(alternatives), ...
    if default is None:
        alternatives["null"] = None
    if callable(default):
        default = default.__name__  # activation=F.relu is the same as "relu"
    return either(alternatives), Field(default=default)


def _alternatives(cls: type[nn.Module], parameter: inspect.Parameter) -> dict[Kind, Any]:
    name = parameter.name
    if name in MODULES:
        return {"object": "AnyLayer"}
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        annotation = UNANNOTATED[name]
    return _union(annotation, f"{cls.__name__}.{name}")


def _union(annotation: Any, place: str) -> dict[Kind, Any]:
    """Return the JSON kinds of all members of an annotation; `place` is `Class.argument`."""
    found: dict[Kind, Any] = {}
    for option in _options(annotation):
        for kind, json_type in _convert(option, place).items():
            found.setdefault(kind, json_type)
    return found


def _options(annotation: Any) -> Sequence[Any]:
    origin = typing.get_origin(annotation)
    return typing.get_args(annotation) if origin in (Union, types.UnionType) else (annotation,)


def _convert(annotation: Any, place: str) -> dict[Kind, Any]:
    """Return the JSON kinds of one member of an annotation's union."""
    if annotation in (None, type(None)):
        return {"null": None}
    if annotation is int or annotation is torch.Size:
        size = integer(_by_place(MINIMUM, place))
        return {"scalar": size} if annotation is int else {"list": _sizes(size, place)}
    if annotation in _SCALARS:
        return {"scalar": _SCALARS[annotation]}
    if annotation is str:
        choices = _by_place(CHOICES, place)
        return {"string": Literal[choices]} if choices else {}
    origin, items = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return {"string": annotation}
    if origin in (tuple, list, Sequence):
        fixed = origin is tuple and Ellipsis not in items
        if not (inner := _union(items[0], place)):
            return {}  # names of dimensions
        item = either(inner)
        return {"list": list_of(item, len(items)) if fixed else _sizes(item, place)}
    if origin is Callable:
        return {}  # not a JSON value; these arguments also accept a string
    raise TypeError(f"no JSON type for {annotation} of torch.nn.{place}")


def _sizes(item: Any, place: str) -> Any:
    """Return the type of a list of any length; a shape has at most `MAX_TENSOR_DIMS` sizes."""
    shape = place.partition(".")[2] in _SHAPES
    return list_of(item, at_most=MAX_TENSOR_DIMS if shape else None)


def _by_place(table: dict[str, Any], place: str) -> Any:
    """Return the entry for `Class.argument`, else the one for `argument`."""
    return table[place] if place in table else table.get(place.partition(".")[2])
