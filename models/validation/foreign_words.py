"""Words of other libraries and papers for the keys and names of a spec, as hints in messages."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

_WORDS: Mapping[str, tuple[str, ...]] = {
    # initializers and their arguments
    "truncated_normal": ("trunc_normal", "variance_scaling"),
    "random_normal": ("normal",),
    "random_uniform": ("uniform",),
    "randn": ("normal",),
    "rand": ("uniform",),
    "fill": ("constant",),
    "full": ("constant",),
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
    "residualblock": ("Module",),
    "basicblock": ("Module",),
    "bottleneck": ("Module",),
    "block": ("Module",),
    "sine": ("Identity",),
    "sin": ("Identity",),
    "lambda": ("Identity",),
    "swish": ("SiLU",),
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
    "shape": ("tensors", "parameters"),
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


# Fields whose keys a library defines: the config of a model, or its function's arguments.
_OPEN = ("overrides", "args", "config")
_COPIES = frozenset({"repeat", "repeats", "times", "count", "n", "num_layers", "n_layers", "depth"})
_TENSORS = {"parameter": "parameters", "buffer": "buffers"}
_PARAMETRIZATIONS = frozenset({"weight_norm", "spectral_norm"})
_HF_CLASS = re.compile(r"[A-Z]\w*(Model|For[A-Z]\w*)")
_MAX_NAME = 100  # characters
_MAX_DIMS = 8  # of a shape that a message repeats


def meant(word: str, allowed: Collection[str]) -> list[str]:
    """Return the words among `allowed` that another library's `word` may stand for."""
    plain = last(word).strip("_").lower()
    return [ours for ours in _WORDS.get(plain, ()) if ours in allowed]


def last(word: str) -> str:
    """Return `word` without the modules before its last dot: `uniform_` of `nn.init.uniform_`."""
    return word.rpartition(".")[2]


def type_elsewhere(
    word: str, known: Collection[str], *, key: str | int, given: Mapping[str, Any]
) -> str | None:
    """Return where a spec has the class or function `word`, which is no type, or None.

    `known` are the types, `given` is the object of which `word` is the type, and `key` its key.
    """
    if "Module" not in known or len(word) > _MAX_NAME:
        return None
    name, library = last(word), word.partition(".")[0]
    if field := _TENSORS.get(name.lower()):
        module = {"type": "Module", field: {_name(key, given): {"shape": _shape(given)}}}
        return f"a Module holds it beside its children: {json.dumps(module)}"
    if name in _PARAMETRIZATIONS:
        written = json.dumps({"weight": {"type": name}})
        return f'give the layer the key "parametrizations": {written}'
    if library in ("torchvision", "timm") and name != library:
        return f"write {json.dumps({'type': library, 'model': name})}"
    if library == "transformers" or (_HF_CLASS.fullmatch(name) and name not in known):
        config = {"model_type": "..."}
        return f"write {json.dumps({'type': 'transformers', 'class': name, 'config': config})}"
    return None


def layers_alone(value: Mapping[str, Any], known: Collection[str]) -> str | None:
    """Return how an architecture holds an object of layers, if `value` is one, or None."""
    layers = [isinstance(layer, Mapping) and "type" in layer for layer in value.values()]
    if "Sequential" not in known or not layers or not all(layers):
        return None
    return 'write {"type": "Sequential", "layers": {...}} around these layers'


def model_by_name(word: str, known: Collection[str]) -> str | None:
    """Return how an architecture names a model, if `word` may be its name, or None."""
    if "preset" not in known or len(word) > _MAX_NAME or not (word[:1].islower() or "/" in word):
        return None
    return f"a model by its name is {json.dumps({'type': 'preset', 'name': word})}"


def argument_elsewhere(name: str, allowed: Collection[str]) -> str | None:
    """Return where a spec has the argument `name`, which its object may not have, or None."""
    if name in _COPIES and ("layers" in allowed or "children" in allowed):
        return 'copies of a layer are {"type": "Repeat", "count": 3, "layer": {...}}'
    if field := next((field for field in _OPEN if field in allowed), None):
        return f"the model's own belong in `{field}`: {field}.{name}"
    return None


def _name(key: str | int, given: Mapping[str, Any]) -> str:
    name = given.get("name", key)
    named = isinstance(name, str) and name and "." not in name and len(name) <= _MAX_NAME
    return name if named and name != "architecture" else "scale"


def _shape(given: Mapping[str, Any]) -> list[int]:
    """Return the caller's shape if it can be one, else an example."""
    shape = given.get("shape", given.get("size"))
    if not isinstance(shape, list) or len(shape) > _MAX_DIMS:
        return [5, 3]
    return shape if all(type(size) is int and 0 <= size < 2**53 for size in shape) else [5, 3]


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
