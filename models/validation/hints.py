"""Hints in messages: the nearest word that would be right, or the right form of a value."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seedpoint.models.validation.foreign_words import home, meant, paired
from seedpoint.models.validation.messages import Asked, in_words

_MAX_COMPARED = 100  # characters; difflib takes quadratic time
_MAX_LISTED = 12  # known words listed; the rest are counted
_MAX_ITEMS = 8  # items of a list that is written out in a hint

# Keys that other libraries write for `type`.
_TYPE_KEYS = (
    *("class", "cls", "layer", "kind", "_target_", "class_path", "class_name"),
    *("name", "initializer", "distribution", "module"),
)
_MODEL_KEYS = ("model", "name", "name_or_path", "model_name", "pretrained_model_name_or_path")


def near(word: str, words: Iterable[str], count: int = 3) -> list[str]:
    """Return the words most similar to `word`, best first; case does not matter.

    A word that differs by case alone is the only one.
    """
    lower: dict[str, str] = {}
    for candidate in words:
        if len(candidate) <= _MAX_COMPARED:
            lower.setdefault(candidate.lower(), candidate)
    if len(word) > _MAX_COMPARED:
        return []
    if (same := lower.get(word.lower())) is not None:
        return [same]
    return [lower[match] for match in difflib.get_close_matches(word.lower(), lower, n=count)]


def one_of(word: str, words: Sequence[str]) -> str:
    """Return `did you mean ...?` if some of `words` are similar, else a list of them."""
    word = word.strip()
    close = meant(word, words) or near(word.rpartition(".")[2], words)
    return did_you_mean(close) if close else f"known: {shortened(words)}"


def pairs(unknown: Sequence[str], missing: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """Return the missing key that each unknown one stands for, where only one can be meant."""
    found = paired(unknown, missing)
    for word in unknown:
        left = [key for key in missing if key not in found.values()]
        if word not in found and (close := near(word, left)):
            found[word] = close[0]
    left = [key for key in missing if key not in found.values()]
    words = [word for word in unknown if word not in found]
    if len(left) == len(words) == 1:
        [word] = words
        knows = meant(word, allowed) or near(word, allowed) or home(word, allowed)
        if not knows and (word not in _MODEL_KEYS or left[0] != "config"):
            found[word] = left[0]
    return found


def did_you_mean(words: Iterable[str]) -> str:
    """Return the question whether one of `words` was meant."""
    return f"did you mean {' or '.join(map(repr, words))}?"


def shortened(words: Sequence[str]) -> str:
    """Return the first of `words`, and the number of all if there are more."""
    more = f", ... ({len(words)} in all)" if len(words) > _MAX_LISTED else ""
    return ", ".join(words[:_MAX_LISTED]) + more


def unknown_argument(
    name: str, parent: Asked | None, given: Mapping[Any, Any], pair: str | None
) -> str:
    """Return the message for a key that an object may not have.

    `given` is the object, and `pair` is the missing key that this one stands for.
    """
    allowed = parent.properties() if parent else []
    if (place := home(name, allowed)) is not None:
        return f"belongs in {place}"
    if "architecture" in allowed and "type" in given and "architecture" not in given:
        return f"belongs in `architecture`: architecture.{name}"
    if name in _MODEL_KEYS and "config" in allowed and isinstance(given[name], str):
        preset = _json({"type": "preset", "name": given[name][:_MAX_COMPARED]})
        return f"unknown argument; a model by its name is {preset}"
    free = [key for key in allowed if key not in given]
    close = [pair] if pair else meant(name, free) or near(name, free) or near(name, allowed)
    hint = f"; {did_you_mean(close)}" if close else ""
    return f"unknown argument{hint}" + (f"; allowed: {', '.join(allowed)}" if allowed else "")


def unknown_type(value: Any, known: Sequence[str]) -> str:
    """Return the message for an object without a known `type`, or for a text in its place."""
    tag = value.get("type") if isinstance(value, Mapping) else value
    if isinstance(value, Mapping) and "type" not in value:
        return f"missing; {_type_of(value, known)}"
    if not isinstance(tag, str):
        return f"expected a string, not {in_words(tag)}"
    if not known:
        return f"unknown type {in_words(tag)}"
    hint = one_of(tag, known)
    is_alone = hint.startswith("known") or hint == did_you_mean(["preset"])
    if "preset" in known and is_alone and tag[:1].islower() and len(tag) <= _MAX_COMPARED:
        hint = f"a published model is {_json({'type': 'preset', 'name': tag})}"
    return f"unknown type {in_words(tag)}; {hint}{_catalogue(hint, known)}"


def _type_of(value: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return the hint for an object without a type: the key that stands for it, or the layer."""
    for key in _TYPE_KEYS:
        name = value.get(key)
        if isinstance(name, str) and (key not in ("name", "module") or name in known):
            return f"write `type` instead of `{key}`"
    for key, kind in (("layers", "Sequential"), ("children", "Module"), ("tensors", "tensors")):
        if key in value and kind in known:
            return f'write "type": "{kind}" beside `{key}`'
    if not known:
        return "it is required"
    hint = f"known: {shortened(known)}"
    return hint + _catalogue(hint, known)


def _catalogue(hint: str, known: Sequence[str]) -> str:
    """Return the place of the list of all types, after a hint that lists some of them."""
    if not hint.startswith("known"):
        return ""
    if "Sequential" in known:
        return "; GET /v1/architectures describes all"
    return "; GET /v1/initializers describes all" if "normal" in known else ""


def right_form(key: str, value: Any, asked: Asked | None, parent: Asked | None) -> str:
    """Return the hint after a value of the wrong form at `key`, or an empty text."""
    if key == "nonlinearity" and not meant(str(value), ["linear"]):
        instead = (
            "give `gain` a number"
            if parent is not None and "param" in parent.properties()
            else '"relu" is near, and variance_scaling takes any: its `scale` is gain ** 2'
        )
        return f"; PyTorch has no gain for {in_words(value)}: {instead}"
    if isinstance(value, str) and len(value) > _MAX_COMPARED:
        return ""
    if (written := _object(key, value, asked)) is not None:
        return f"; write {written}"
    if isinstance(value, str) and asked is not None and (close := _choices(value, asked)):
        return f"; {did_you_mean(close)}"
    if value is not None and asked is not None and asked.is_list_of(value):
        return f"; write {_json([value])}"
    return ""


def missing_form(key: str, parent: Asked | None, given: Mapping[str, Any]) -> str:
    """Return the hint after a missing argument of a library's model, or an empty text."""
    tags = parent.schema.get("properties", {}).get("type", {}) if parent else {}
    named = next((given[name] for name in _MODEL_KEYS if isinstance(given.get(name), str)), None)
    if named is None or len(named) > _MAX_COMPARED:
        return ""
    if key == "config" and tags.get("const") == "transformers":
        preset = _json({"type": "preset", "name": named})
        return f", its config.json; a model by its name is {preset}"
    if key == "model" and "name" in given:
        return "; `name` is the layer's own: write `model`"
    return ""


def _choices(value: str, asked: Asked) -> list[str]:
    """Return the values or types like a text that is none of those expected."""
    words = [*asked.choices(), *asked.tags()]
    plain = value.strip().rpartition(".")[2]
    return meant(plain, words) or near(plain, words) if words else []


def _object(key: str, value: Any, asked: Asked | None) -> str | None:
    """Return the object to write at `key` in place of a value alone, or None."""
    match key, value:
        case "architecture", str():
            tags = asked.tags() if asked else []
            kind = {"type": value} if value in tags else {"type": "preset", "name": value}
            return _json(kind)
        case "architecture", list():
            return '{"type": "Sequential", "layers": [...]}'
        case "init", str():
            rule = {"match": {"ndim": 2}, "initializer": {"type": value}}
            return _json({"rules": [rule]})
        case "init", list():
            return '{"rules": [...]}'
        case "initializer", int() | float() if not isinstance(value, bool):
            return _json({"type": "constant", "val": value})
        case "splits", list():
            return f'{{"parts": {_sizes(value)}}}'
        case "fan", str():
            return _json({"of": value})
        case "tie", str():
            return _json({value.rpartition(".")[2]: value})
        case _, int() if asked is not None and _is_part(asked):
            return _json({"size": value})
        case _:
            return None


def _sizes(value: list[Any]) -> str:
    is_sizes = len(value) <= _MAX_ITEMS and all(type(size) is int for size in value)
    return _json([{"size": size} for size in value]) if is_sizes else '[{"size": 1}, ...]'


def _is_part(asked: Asked) -> bool:
    return {"size", "as"} <= set(asked.properties())


def _json(value: Any) -> str:
    return json.dumps(value)
