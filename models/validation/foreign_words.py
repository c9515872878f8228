"""Words of other libraries and papers for the keys and names of a spec, as hints in messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_WORDS: Mapping[str, tuple[str, ...]] = {
    # initializers and their arguments
    "truncated_normal": ("trunc_normal", "variance_scaling"),
    "random_normal": ("normal",),
    "randn": ("normal",),
    "random_uniform": ("uniform",),
    "rand": ("uniform",),
    "identity": ("eye", "dirac", "Identity", "linear"),
    "delta": ("dirac",),
    "delta_orthogonal": ("orthogonal",),
    "xavier": ("xavier_uniform", "xavier_normal"),
    "glorot": ("glorot_uniform", "glorot_normal"),
    "kaiming": ("kaiming_uniform", "kaiming_normal"),
    "he": ("he_normal", "he_uniform", "kaiming_normal"),
    "lecun": ("lecun_normal", "lecun_uniform"),
    "full": ("constant",),
    "fill": ("constant", "set"),
    "default": ("own",),
    "none": ("own", "linear"),
    "reset_parameters": ("own",),
    "pretrained": ("values",),
    "load": ("values",),
    "mask": ("tril", "triu"),
    "causal_mask": ("triu", "tril"),
    "range": ("arange",),
    "counter": ("arange",),
    "sine": ("sinusoidal", "map"),
    "sin": ("sinusoidal", "map"),
    "cos": ("sinusoidal", "map"),
    "positional_encoding": ("sinusoidal",),
    "rotary": ("inv_freq",),
    "rope": ("inv_freq",),
    "expression": ("map",),
    "sigma": ("std",),
    "stddev": ("std",),
    "stdv": ("std",),
    "scale": ("std", "gain", "scale"),
    "mu": ("mean",),
    "loc": ("mean",),
    **dict.fromkeys(("low", "minval", "lower"), ("a", "min")),
    **dict.fromkeys(("high", "maxval", "upper"), ("b", "max")),
    "min": ("a",),
    "max": ("b",),
    "from": ("a", "of", "start"),
    "to": ("b", "ref", "end"),
    "bound": ("a", "b"),
    "limit": ("a", "b"),
    "negative_slope": ("a", "param"),
    "nonlinearity": ("gain",),
    "gain": ("nonlinearity",),
    "stop": ("end",),
    **dict.fromkeys(("source", "src", "tensor"), ("of",)),
    **dict.fromkeys(("terms", "items"), ("initializers",)),
    **dict.fromkeys(("expr", "function", "formula", "fn"), ("expression",)),
    # transforms and their arguments
    **dict.fromkeys(("mul", "multiply", "times"), ("scale", "count")),
    **dict.fromkeys(("div", "divide"), ("scale", "reciprocal")),
    **dict.fromkeys(("sub", "subtract", "shift"), ("add",)),
    "ln": ("log",),
    "exponential": ("exp",),
    "inverse": ("reciprocal",),
    "clip": ("clamp",),
    "assign": ("set",),
    "threshold": ("hard_threshold",),
    **dict.fromkeys(("zero_columns", "zero_cols"), ("zero_rows",)),
    **dict.fromkeys(
        ("softplus_inverse", "inv_softplus", "invsoftplus"),
        ("inverse_softplus",),
    ),
    **dict.fromkeys(("factor", "by", "alpha"), ("value",)),
    **dict.fromkeys(("index", "indices", "row"), ("rows", "index")),
    **dict.fromkeys(("slice", "slices"), ("index", "rows")),
    "rows": ("index",),
    # parts and fans
    **dict.fromkeys(("length", "len", "width"), ("size",)),
    **dict.fromkeys(("sizes", "split_sizes"), ("parts",)),
    "chunks": ("repeat", "parts"),
    "name": ("as",),
    # layers and their arguments
    "dense": ("Linear",),
    **dict.fromkeys(("fc", "fully_connected"), ("Linear",)),
    "mlp": ("Sequential",),
    **dict.fromkeys(("residual", "block", "transformerblock"), ("Module",)),
    "model": ("architecture", "Module"),
    "lambda": ("Identity",),
    **dict.fromkeys(("reshape", "view"), ("Unflatten", "Flatten")),
    "activation": ("ReLU", "GELU"),
    "parameter": ("Custom", "Module"),
    "embed": ("Embedding",),
    "multiheadattention": ("MultiheadAttention",),
    "attention": ("MultiheadAttention",),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d"),
    "conv": ("Conv1d", "Conv2d"),
    **dict.fromkeys(
        ("in", "in_dim", "in_size", "in_channels", "in_features", "n_in", "nin", "inputs"),
        ("in_features", "in_channels", "input_size", "in_axes"),
    ),
    **dict.fromkeys(
        ("input_dim", "input_size", "input_features"), ("in_features", "in_channels", "input_size")
    ),
    **dict.fromkeys(
        ("out", "out_dim", "out_size", "out_channels", "out_features", "n_out", "nout", "outputs"),
        ("out_features", "out_channels", "hidden_size", "out_axes"),
    ),
    **dict.fromkeys(
        ("output_dim", "output_size", "output_features"), ("out_features", "out_channels")
    ),
    "units": ("out_features", "hidden_size"),
    "features": ("out_features", "num_features", "out_channels"),
    "channels": ("num_features", "num_channels"),
    "filters": ("out_channels",),
    "kernel": ("kernel_size",),
    "strides": ("stride",),
    "epsilon": ("eps",),
    "dim": ("embed_dim", "d_model", "embedding_dim", "normalized_shape", "axis", "ndim"),
    "d_model": ("embed_dim", "in_features"),
    "hidden_size": ("embedding_dim", "embed_dim", "d_model"),
    "num_heads": ("nhead",),
    "n_heads": ("num_heads", "nhead"),
    "vocab_size": ("num_embeddings",),
    "hidden_dim": ("hidden_size", "dim_feedforward"),
    "use_bias": ("bias",),
    "rate": ("p",),
    "num_layers": ("count",),
    "n": ("count", "repeat"),
    **dict.fromkeys(("modules", "submodules"), ("children", "layers")),
    "children": ("layers",),
    "layers": ("children",),
    "module": ("layer",),
    "tensors": ("parameters",),
    "shapes": ("tensors",),
    # dtypes
    **dict.fromkeys(("fp8", "f8", "float8"), ("float8_e4m3fn", "float8_e5m2")),
    "e4m3": ("float8_e4m3fn",),
    "e5m2": ("float8_e5m2",),
    "tf32": ("float32",),
    "auto": ("declared",),
    "int": ("int32", "int64"),
    "byte": ("uint8",),
    # the spec
    "class": ("type", "module"),
    "cls": ("type", "module"),
    "layer": ("module",),
    **dict.fromkeys(("layer_type", "module_type"), ("module",)),
    "type": ("module",),
    **dict.fromkeys(("pattern", "regex", "glob", "path"), ("name",)),
    "rank": ("ndim",),
    "arch": ("architecture",),
    "network": ("architecture",),
    "init": ("initializer",),
    "initialization": ("init",),
    "initializers": ("init", "initializer"),
    "precision": ("dtype",),
    "torch_dtype": ("dtype",),
    **dict.fromkeys(("metadata", "tags"), ("labels",)),
    "title": ("name",),
    **dict.fromkeys(("comment", "_comment", "$comment", "//", "notes"), ("description",)),
}
_MATCH = frozenset({"name", "module", "parameter", "ndim", "kind", "not"})
_HOMES: Mapping[str, frozenset[str]] = {
    "init": frozenset({"seed", "generator", "rules", "constants", "unmatched"}),
    "architecture": frozenset({"layers", "children", "parameters", "buffers", "tensors"}),
    "match": _MATCH,
    "initializer": frozenset({"mean", "std", "a", "b", "val", "value", "gain", "mode"}),
}
_IN_RULES = frozenset({"match", "initializer", "transforms", "splits", "fan"})
_INWARD = re.compile(r"n?_?in(puts?)?(_|$)")
_OUTWARD = re.compile(r"n?_?out(puts?)?(_|$)")


def meant(word: str, allowed: Collection[str]) -> list[str]:
    """Return the words among `allowed` that another library's `word` may stand for.

    A prefix such as `keras.layers.` is left out, and case does not matter.
    """
    plain = word.rpartition(".")[2].lower()
    return [ours for ours in _WORDS.get(plain, ()) if ours in allowed]


def paired(unknown: Collection[str], missing: Collection[str]) -> dict[str, str]:
    """Return the missing key that each unknown one stands for, where only one can be meant."""
    pairs: dict[str, str] = {}
    left = list(missing)
    for word in unknown:
        if (close := meant(word, left)) and close[0] in left:
            pairs[word] = close[0]
            left.remove(close[0])
    for direction, start in ((_INWARD, "in"), (_OUTWARD, "out")):
        words = [word for word in unknown if word not in pairs and direction.match(word)]
        ours = [key for key in left if key.startswith(start)]
        if len(words) == 1 and len(ours) == 1:
            pairs[words[0]] = ours[0]
            left.remove(ours[0])
    return pairs


def home(key: str, allowed: Collection[str]) -> str | None:
    """Return the place into which `key` belongs, if that is in an object among `allowed`."""
    for name, keys in _HOMES.items():
        if key in keys and name in allowed:
            return f"`{name}`: {name}.{key}"
    if key in _IN_RULES and "init" in allowed:
        return f"a rule: init.rules.0.{key}"
    if key in _IN_RULES and "rules" in allowed:
        return f"a rule: rules.0.{key}"
    if key == "type" and "initializer" in allowed:
        return "`initializer`: initializer.type"
    if key == "repeat" and "as" in allowed:
        return "`splits`: splits.repeat"
    if "match" in allowed and (criterion := meant(key, _MATCH)):
        return f"`match`: match.{criterion[0]}"
    if key == "type" and "rules" in allowed:
        return "the `initializer` of a rule: rules.0.initializer.type"
    return None
