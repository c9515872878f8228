"""Constructions of every class of torch.nn that has parameters or buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import nn

Build = Callable[[], nn.Module]


def _norms(kind: str) -> Iterator[dict[str, Any]]:
    yield from ({"num_features": 4} | flags for flags in _flags("affine", "track_running_stats"))
    yield {"num_features": 4, "affine": True, "bias": False}
    if kind == "Batch":
        yield {"num_features": 3, "momentum": None, "dtype": torch.float64}


def _flags(*names: str) -> Iterator[dict[str, Any]]:
    for values in product((True, False), repeat=len(names)):
        yield dict(zip(names, values, strict=True))


def _convolutions() -> Iterator[dict[str, Any]]:
    yield {"in_channels": 4, "out_channels": 6, "kernel_size": 3}
    yield {"in_channels": 4, "out_channels": 6, "kernel_size": 2, "groups": 2, "bias": False}
    yield {"in_channels": 6, "out_channels": 6, "kernel_size": 1, "groups": 6, "dtype": torch.half}
    yield {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "stride": 2, "dilation": 2}


def _recurrent(projected: bool) -> Iterator[dict[str, Any]]:
    sizes = {"input_size": 3, "hidden_size": 5}
    for flags in _flags("bias", "bidirectional", "batch_first"):
        yield sizes | flags | {"num_layers": 2, "dropout": 0.1}
    yield sizes
    if projected:
        yield sizes | {"proj_size": 2, "num_layers": 3, "bidirectional": True}
        yield sizes | {"proj_size": 4, "bias": False}


def _attention() -> Iterator[dict[str, Any]]:
    base = {"embed_dim": 8, "num_heads": 2}
    for flags in _flags("bias", "add_bias_kv", "add_zero_attn"):
        yield base | flags
        yield base | flags | {"kdim": 3, "vdim": 6, "batch_first": True}


ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "Linear": [
        {"in_features": 20, "out_features": 30},
        {"in_features": 3, "out_features": 1, "bias": False},
        {"in_features": 5, "out_features": 4, "dtype": torch.bfloat16},
        {"in_features": 0, "out_features": 4},
        {"in_features": 4, "out_features": 0},
    ],
    "Bilinear": [
        {"in1_features": 3, "in2_features": 4, "out_features": 5, "bias": bias}
        for bias in (True, False)
    ],
    "Embedding": [
        {"num_embeddings": 7, "embedding_dim": 3},
        {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": 0},
        {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": -1, "max_norm": 1.0},
    ],
    "EmbeddingBag": [
        {"num_embeddings": 7, "embedding_dim": 3, "mode": "sum"},
        {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": 2, "max_norm": 2.0},
    ],
    **{f"Conv{n}d": list(_convolutions()) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": list(_convolutions()) for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": list(_norms("Batch")) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": list(_norms("Instance")) for n in (1, 2, 3)},
    "SyncBatchNorm": list(_norms("Batch")),
    "GroupNorm": [
        {"num_groups": 2, "num_channels": 4, "affine": affine} for affine in (True, False)
    ],
    "LayerNorm": [
        {"normalized_shape": 4},
        {"normalized_shape": [2, 3], "bias": False},
        {"normalized_shape": (3,), "elementwise_affine": False},
    ],
    "RMSNorm": [
        {"normalized_shape": 4},
        {"normalized_shape": [2, 3], "elementwise_affine": False},
    ],
    "PReLU": [{}, {"num_parameters": 5, "init": 0.1}],
    "RNN": [*_recurrent(False), {"input_size": 2, "hidden_size": 3, "nonlinearity": "relu"}],
    "GRU": list(_recurrent(False)),
    "LSTM": list(_recurrent(True)),
    "RNNBase": [{"mode": "LSTM", "input_size": 2, "hidden_size": 3}],
    "RNNCellBase": [{"input_size": 2, "hidden_size": 3, "bias": True, "num_chunks": 4}],
    **{
        f"{name}Cell": [{"input_size": 3, "hidden_size": 5, "bias": b} for b in (True, False)]
        for name in ("RNN", "LSTM", "GRU")
    },
    "MultiheadAttention": list(_attention()),
    "TransformerEncoderLayer": [
        {"d_model": 8, "nhead": 2, "dim_feedforward": 16, **flags}
        for flags in _flags("bias", "batch_first", "norm_first")
    ],
    "TransformerDecoderLayer": [
        {"d_model": 8, "nhead": 2, "dim_feedforward": 16, **flags}
        for flags in _flags("bias", "batch_first", "norm_first")
    ],
    "Transformer": [
        {"d_model": 8, "nhead": 2, "num_encoder_layers": e, "num_decoder_layers": d, **flags}
        | {"dim_feedforward": 16}
        for e, d in ((2, 2), (1, 3))
        for flags in _flags("bias", "batch_first")
    ],
    "AdaptiveLogSoftmaxWithLoss": [
        {"in_features": 8, "n_classes": 20, "cutoffs": [4, 10], "head_bias": bias}
        for bias in (True, False)
    ],
    "LinearCrossEntropyLoss": [
        {"in_features": 4, "num_classes": 3},
        {"in_features": 4, "num_classes": 3, "bias": True, "out_features": (2,)},
    ],
}

_LAYER = {"d_model": 8, "nhead": 2, "dim_feedforward": 16}
_CONVOLVED = {"out_channels": 4, "kernel_size": 2}
_SHAPES: dict[int, tuple[int, ...]] = {1: (2, 3, 6), 2: (2, 3, 6, 6), 3: (2, 3, 6, 6, 6)}

# Lazy classes: their arguments and input shapes.
LAZY: dict[str, list[tuple[dict[str, Any], tuple[int, ...]]]] = {
    "LazyLinear": [({"out_features": 4, "bias": bias}, (2, 5, 3)) for bias in (True, False)],
    **{
        f"Lazy{kind}{n}d": [(_CONVOLVED | {"bias": bias}, shape) for bias in (True, False)]
        for kind in ("Conv", "ConvTranspose")
        for n, shape in _SHAPES.items()
    },
    **{
        f"Lazy{kind}Norm{n}d": [(flags, shape) for flags in _flags("affine", "track_running_stats")]
        for kind in ("Batch", "Instance")
        for n, shape in _SHAPES.items()
    },
}

# Classes without parameters that need arguments.
WITHOUT_PARAMETERS: dict[str, dict[str, Any]] = {
    **{f"{kind}Pool{n}d": {"kernel_size": 2} for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"MaxUnpool{n}d": {"kernel_size": 2} for n in (1, 2, 3)},
    **{f"LPPool{n}d": {"norm_type": 2, "kernel_size": 2} for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pool{n}d": {"output_size": 2} for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"FractionalMaxPool{n}d": {"kernel_size": 2, "output_size": 2} for n in (2, 3)},
    **{
        f"{kind}Pad{n}d": {"padding": 1}
        for kind in ("Circular", "Reflection", "Replication", "Zero")
        for n in (1, 2, 3)
    },
    **{f"ConstantPad{n}d": {"padding": 1, "value": 0.5} for n in (1, 2, 3)},
    "ChannelShuffle": {"groups": 2},
    "PixelShuffle": {"upscale_factor": 2},
    "PixelUnshuffle": {"downscale_factor": 2},
    "CrossMapLRN2d": {"size": 2},
    "LocalResponseNorm": {"size": 2},
    "DataParallel": {"module": nn.Identity()},
    "Fold": {"output_size": 4, "kernel_size": 2},
    "Unfold": {"kernel_size": 2},
    "Threshold": {"threshold": 0.1, "value": 0.2},
    "Unflatten": {"dim": 1, "unflattened_size": (2, 2)},
}


def _stack(kind: str, layers: int, norm: bool) -> nn.Module:
    layer = getattr(nn, f"Transformer{kind}Layer")(**_LAYER)
    return getattr(nn, f"Transformer{kind}")(layer, layers, nn.LayerNorm(8) if norm else None)


def _initialized(build: Build, shape: tuple[int, ...]) -> nn.Module:
    module = build()
    module.eval()(torch.zeros(shape))
    return module


def cases() -> Iterator[tuple[str, str, Build]]:
    """Yield class names, descriptions and constructions; builds nothing yet."""
    for name, variants in ARGUMENTS.items():
        cls = getattr(nn, name)
        for kwargs in variants:
            yield name, _shown(name, kwargs), lambda cls=cls, kwargs=kwargs: cls(**kwargs)
    for name, calls in LAZY.items():
        cls = getattr(nn, name)
        for kwargs, shape in calls:

            def lazy(cls: Any = cls, kwargs: Any = kwargs, shape: Any = shape) -> nn.Module:
                return _initialized(lambda: cls(**kwargs), shape)

            yield name, _shown(name, kwargs), lazy
    for kind, layers, norm in product(("Encoder", "Decoder"), (1, 3), (True, False)):

        def stack(kind: str = kind, layers: int = layers, norm: bool = norm) -> nn.Module:
            return _stack(kind, layers, norm)

        yield f"Transformer{kind}", f"Transformer{kind}(layers={layers}, norm={norm})", stack


def _shown(name: str, kwargs: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={v}' for k, v in kwargs.items())})"
