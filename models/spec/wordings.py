"""Unambiguous words of other libraries in a spec, replaced by Seedpoint's before it is read.

A checkpoint id is therefore that of the canonical spelling. Keys stay as they are, so the paths of
faults do too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from seedpoint.models.architectures import FOREIGN
from seedpoint.models.architectures.type_union import LAYER_MODELS
from seedpoint.models.initializers import CATALOGUE
from seedpoint.models.initializers.base import Nonlinearity
from seedpoint.models.initializers.transforms import TransformSpec
from seedpoint.models.validation import expressions

_LAYERS = frozenset(get_args(cls.model_fields["type"].annotation)[0] for cls in LAYER_MODELS)
_LAYERS_ANY_CASE = {name.lower(): name for name in sorted(_LAYERS)}
_OPAQUE = frozenset(get_args(cls.model_fields["type"].annotation)[0] for cls in FOREIGN)
_TRANSFORMS = frozenset(
    get_args(cls.model_fields["type"].annotation)[0] for cls in get_args(get_args(TransformSpec)[0])
)
_NONLINEARITIES = frozenset(get_args(Nonlinearity))
DTYPES: Mapping[str, str] = {
    **dict.fromkeys(("bf16",), "bfloat16"),
    **dict.fromkeys(("fp16", "half", "f16"), "float16"),
    **dict.fromkeys(("fp32", "float", "single", "f32"), "float32"),
    **dict.fromkeys(("fp64", "double", "f64"), "float64"),
    **dict.fromkeys(("fp8_e4m3", "float8_e4m3", "f8_e4m3"), "float8_e4m3fn"),
    **dict.fromkeys(("fp8_e5m2", "f8_e5m2"), "float8_e5m2"),
    "long": "int64",
    "short": "int16",
    **{name: name for name in ("bfloat16", "float16", "float32", "float64")},  # in any case
}
_TORCH = re.compile(r"(torch\.)?nn\.(modules\.)?([a-z_]+\.)?")
_INIT = re.compile(r"((torch\.)?nn\.)?(init\.)?")
_CALCULATED = re.compile(
    r"(?:[\w.]*\.)?calculate_gain\(\s*(?:nonlinearity\s*=\s*)?['\"](\w+)['\"]\s*"
    r"(?:,\s*(?:param\s*=\s*)?([-+\d.eE]+)\s*)?\)"
)
_INFINITE = re.compile(
    r"([+-]?)\s*(?:(?:math|np|numpy|torch|jnp)\.)?inf(?:inity)?"
    r"|([+-]?)\s*float\(\s*['\"]([+-]?)inf(?:inity)?['\"]\s*\)",
    re.IGNORECASE,
)


def rewritten(document: Any) -> Any:
    """Return a spec's JSON document with these words replaced; the given one stays as it is."""
    if not isinstance(document, dict):
        return document
    replaced = _with(document, "architecture", _architecture)
    replaced = _with(replaced, "dtype", _dtypes)
    return _with(replaced, "init", _init)


def _with(document: Mapping[str, Any], key: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    if key not in document:
        return dict(document)
    return {**document, key: change(document[key])}


def _architecture(value: Any) -> Any:
    """Return an architecture with plain class names and dtypes, to any depth."""
    if isinstance(value, list):
        return [_architecture(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if isinstance(kind, str) and kind in _OPAQUE:
        return value
    # The header of a file is not ours: its dtypes are the format's.
    kept = ("header",) if kind == "tensors" else ()
    inner = {k: item if k in kept else _architecture(item) for k, item in value.items()}
    if isinstance(kind, str) and kind not in _LAYERS:
        plain = _TORCH.sub("", kind, count=1)
        inner["type"] = _LAYERS_ANY_CASE.get(plain.lower(), kind)
    return _with(inner, "dtype", _dtype)


def _dtype(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    plain = name.removeprefix("torch.").removeprefix("jnp.").removeprefix("np.")
    return DTYPES.get(plain.lower(), plain)


def _dtypes(policy: Any) -> Any:
    if not isinstance(policy, dict):
        return _dtype(policy)
    policy = _with(policy, "default", _dtype)
    return _with(policy, "rules", _each(lambda rule: _matching(_with(rule, "dtype", _dtype))))


def _each(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    """Return a function that changes each object of a list."""

    def changed(items: Any) -> Any:
        if not isinstance(items, list | tuple):
            return items
        return [change(item) if isinstance(item, dict) else item for item in items]

    return changed


def _init(init: Any) -> Any:
    if not isinstance(init, dict):
        return init
    constants = init.get("constants")
    names = frozenset(constants) if isinstance(constants, dict) else frozenset()

    def rule(given: dict[str, Any]) -> dict[str, Any]:
        taken = names | frozenset(re.findall(r"\{(\w+)\}", str(given.get("match"))))

        def filling(part: dict[str, Any]) -> dict[str, Any]:
            part = _with(part, "initializer", lambda value: _initializers(value, taken))
            return _with(part, "transforms", _transforms)

        def splits(given: Any) -> Any:
            return _with(given, "parts", _each(filling)) if isinstance(given, dict) else given

        return _with(filling(_matching(given)), "splits", splits)

    return _with(init, "rules", _each(rule))


def _matching(rule: dict[str, Any]) -> dict[str, Any]:
    return _with(rule, "match", _match)


def _match(match: Any) -> Any:
    """Return criteria; a text alone is a glob on the name, a list of texts are several."""
    if isinstance(match, str) or _are_texts(match):
        return {"name": match}
    if not isinstance(match, dict):
        return match
    return _with(_with(match, "module", _classes), "not", _excluded)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _excluded(value: Any) -> Any:
    return [_match(item) for item in value] if isinstance(value, list | tuple) else _match(value)


def _classes(names: Any) -> Any:
    if isinstance(names, list | tuple):
        return [_classes(name) for name in names]
    return _TORCH.sub("", names, count=1) if isinstance(names, str) else names


def _initializers(value: Any, taken: Iterable[str]) -> Any:
    if isinstance(value, list | tuple):
        return [_initializer(item, taken) for item in value]
    return _initializer(value, taken)


def _initializer(value: Any, taken: Iterable[str]) -> Any:
    """Return an initializer; its name alone is the initializer with its defaults."""
    if isinstance(value, str):
        return {"type": _kind(value)} if _kind(value) in CATALOGUE else value
    if not isinstance(value, dict):
        return value
    value = _with(value, "type", _kind)
    value = _with(value, "nonlinearity", _nonlinearity)
    value = _with(value, "initializers", lambda terms: _initializers(terms, taken))
    for key in ("val", "value", "outside"):
        value = _with(value, key, lambda number: _infinity(number, taken))
    return _with(value, "gain", lambda gain: _gain(gain, taken))


def _kind(kind: Any) -> Any:
    """Return the name of an initializer without its prefix and PyTorch's final underscore.

    `GlorotUniform`, as Keras writes it, is `glorot_uniform`.
    """
    if not isinstance(kind, str) or kind in CATALOGUE:
        return kind
    plain = _INIT.sub("", kind, count=1).removesuffix("_")
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower()
    plain = {"gaussian": "normal", "zero": "zeros", "one": "ones"}.get(plain, plain)
    return plain if plain in CATALOGUE else kind


def _transforms(value: Any) -> Any:
    """Return transforms; the name of one alone is the transform without arguments."""
    if not isinstance(value, list | tuple):
        return value
    return [
        {"type": item} if isinstance(item, str) and item in _TRANSFORMS else item for item in value
    ]


def _infinity(number: Any, taken: Iterable[str]) -> Any:
    """Return an infinity of Python as a spec writes it, and any other number unchanged."""
    if not isinstance(number, str) or number.strip("+-") in taken:
        return number
    if (found := _INFINITE.fullmatch(number.strip())) is None:
        return number
    signs = [sign for sign in found.groups() if sign]
    return "-Infinity" if signs.count("-") % 2 else "Infinity"


def _nonlinearity(name: Any) -> Any:
    if not isinstance(name, str) or name in _NONLINEARITIES:
        return name
    plain = name.rpartition(".")[2].lower().replace("leakyrelu", "leaky_relu")
    return plain if plain in _NONLINEARITIES else name


def _gain(gain: Any, taken: Iterable[str]) -> Any:
    """Return a gain; the name of a nonlinearity is its gain, unless it names a number."""
    if isinstance(gain, dict):
        return _with(gain, "nonlinearity", _nonlinearity)
    if not isinstance(gain, str) or gain in taken or gain in expressions.FUNCTIONS:
        return gain
    if called := _CALCULATED.fullmatch(gain.strip()):
        written = {"nonlinearity": _nonlinearity(called[1])}
        return written if called[2] is None else {**written, "param": _number(called[2])}
    name = _nonlinearity(gain)
    return {"nonlinearity": name} if name in _NONLINEARITIES else gain


def _number(text: str) -> Any:
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text
