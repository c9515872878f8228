"""Small example of every layer class, with required arguments only."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from seedpoint.models.architectures.arguments import arguments_of

_ENCODER_LAYER = {"type": "TransformerEncoderLayer", "d_model": 16, "nhead": 4}
_DECODER_LAYER = {"type": "TransformerDecoderLayer", "d_model": 16, "nhead": 4}

# Example values of arguments; a key `Class.argument` takes precedence over `argument`.
VALUES: dict[str, Any] = {
    **dict.fromkeys(("in_features", "in1_features", "in_channels", "num_features"), 4),
    **dict.fromkeys(("in2_features", "num_channels", "input_size", "normalized_shape"), 6),
    **dict.fromkeys(("out_features", "out_channels", "hidden_size", "embedding_dim"), 8),
    **dict.fromkeys(("kernel_size", "num_groups", "size"), 3),
    **dict.fromkeys(("groups", "upscale_factor", "downscale_factor", "num_layers"), 2),
    "num_embeddings": 10,
    "embed_dim": 16,
    "num_heads": 4,
    "d_model": 16,
    "nhead": 4,
    "n_classes": 20,
    "num_classes": 5,
    "cutoffs": [5, 10],
    "output_size": 5,
    "padding": 1,
    "scale_factor": 2.0,
    "dim": 1,
    "unflattened_size": [2, 3],
    "threshold": 0.1,
    "value": 20.0,
    "norm_type": 2.0,
    "encoder_layer": _ENCODER_LAYER,
    "decoder_layer": _DECODER_LAYER,
    "AdaptiveLogSoftmaxWithLoss.in_features": 16,
    "Fold.output_size": [4, 5],
}

# Arguments that a constructor needs although they have a default, by class.
_NEEDED = {
    **dict.fromkeys(("FractionalMaxPool2d", "FractionalMaxPool3d"), ("output_size",)),
    **dict.fromkeys(("Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"), ("scale_factor",)),
}


def example_of(name: str, cls: type[nn.Module]) -> dict[str, Any]:
    """Return a JSON object that builds a small `torch.nn.<name>`."""
    arguments = {
        argument: VALUES[key] if (key := f"{name}.{argument}") in VALUES else VALUES[argument]
        for argument, parameter in arguments_of(cls).items()
        if parameter.default is inspect.Parameter.empty or argument in _NEEDED.get(name, ())
    }
    if name.startswith("Lazy"):
        arguments["input_shape"] = [2, 4, *(5 for _ in range(_spatial_dims(name)))]
    return {"type": name, **arguments}


def _spatial_dims(name: str) -> int:
    """Return 2 for `LazyConv2d`, 0 for `LazyLinear`."""
    return int(name[-2]) if name.endswith("d") else 0
