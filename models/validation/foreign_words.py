"""Words of other libraries and papers for the keys and names of a spec, as hints in messages."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

_WORDS: Mapping[str, tuple[str, ...]] = {
    # initializers and their arguments
    "truncated_normal": ("trunc_normal", "variance_scaling"),
    "random_normal": ("normal",),
    "random_uniform": ("uniform",),
    "identity": ("eye", "dirac", "Identity"),
    "delta_orthogonal": ("orthogonal",),
    "xavier": ("xavier_uniform", "xavier_normal"),
    "kaiming": ("kaiming_uniform", "kaiming_normal"),
    "sigma": ("std",),
    "stddev": ("std",),
    "stdv": ("std",),
    "scale": ("std", "scale"),
    "mu": ("mean",),
    "loc": ("mean",),
    "low": ("a", "min"),
    "minval": ("a", "min"),
    "min": ("a",),
    "high": ("b", "max"),
    "maxval": ("b", "max"),
    "max": ("b",),
    "negative_slope": ("a", "param"),
    # layers and their arguments
    "dense": ("Linear",),
    "mlp": ("Sequential",),
    "residual": ("Module",),
    "block": ("Module",),
    "multiheadattention": ("MultiheadAttention",),
    "attention": ("MultiheadAttention",),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d"),
    "conv": ("Conv1d", "Conv2d"),
    "in": ("in_features", "in_channels"),
    "in_dim": ("in_features", "in_channels"),
    "input_dim": ("in_features", "in_channels", "input_size"),
    "input_size": ("in_features", "in_channels"),
    "out": ("out_features", "out_channels"),
    "out_dim": ("out_features", "out_channels"),
    "output_dim": ("out_features", "out_channels"),
    "units": ("out_features",),
    "features": ("out_features", "num_features", "out_channels"),
    "filters": ("out_channels",),
    "dim": ("embed_dim", "d_model", "embedding_dim", "normalized_shape"),
    "d_model": ("embed_dim", "in_features"),
    "vocab_size": ("num_embeddings",),
    "hidden_dim": ("hidden_size", "dim_feedforward"),
    "use_bias": ("bias",),
    "rate": ("p",),
    "times": ("count",),
    "num_layers": ("count",),
    "n": ("count",),
    "modules": ("children", "layers"),
    # the spec
    "class": ("type", "module"),
    "cls": ("type", "module"),
    "layer": ("module",),
    "type": ("module",),
    "model": ("architecture",),
    "arch": ("architecture",),
    "initialization": ("init",),
    "initializers": ("init", "initializer"),
    "precision": ("dtype",),
    "torch_dtype": ("dtype",),
}
_HOMES: Mapping[str, frozenset[str]] = {
    "init": frozenset({"seed", "generator", "rules", "constants", "unmatched"}),
    "match": frozenset({"name", "module", "parameter", "ndim", "kind", "not"}),
}


def meant(word: str, allowed: Collection[str]) -> list[str]:
    """Return the words among `allowed` that another library's `word` may stand for."""
    return [ours for ours in _WORDS.get(word.lower(), ()) if ours in allowed]


def object_for(key: str, text: str) -> str | None:
    """Return the object to write at `key` in place of a text alone, or None."""
    if key == "architecture":
        return json.dumps({"type": "preset", "name": text})
    if key == "init":
        rule = {"match": {"ndim": 2}, "initializer": {"type": text}}
        return json.dumps({"rules": [rule]})
    return json.dumps({text.rpartition(".")[2]: text}) if key == "tie" else None


def home(key: str, allowed: Collection[str]) -> str | None:
    """Return the key among `allowed` into whose object `key` belongs, or None."""
    return next((name for name, keys in _HOMES.items() if key in keys and name in allowed), None)
