"""Conversion of JSON values to the values that a config class takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from seedpoint.models.architectures.huggingface.fields import sub_class


def decoded(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` with infinity for `{"__float__": "Infinity"}`, as the library reads it."""
    from transformers.configuration_utils import PreTrainedConfig

    found: dict[str, Any] = PreTrainedConfig._decode_special_floats(dict(document))
    return found


def widened(document: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """Return `document` with 1 as 1.0 in fields that take only floats.

    JSON does not distinguish the two.
    """
    types = {field.name: field.type for field in dataclasses.fields(cls)}
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = cls.attribute_map.get(key, key)
        if (inner := sub_class(cls, key, value)) is not None:
            found[key] = widened(value, inner)
        else:
            found[key] = _floats(value, [types[name]]) if name in types else value
    return found


def _floats(value: Any, kinds: Iterable[Any]) -> Any:
    """Return `value` with its ints as floats if `kinds` hold float and not int."""
    kinds = {each for kind in kinds for each in _alternatives(kind)}
    if type(value) is int:
        return float(value) if float in kinds and int not in kinds else value
    if not isinstance(value, list):
        return value
    inner = [item for kind in kinds if get_origin(kind) in (list, tuple) for item in get_args(kind)]
    return [_floats(item, inner) for item in value] if inner else value


def _alternatives(kind: Any) -> Iterator[Any]:
    if isinstance(kind, str):  # only in the base class: `int | None`
        named = {"int": int, "float": float}
        yield from (named[name] for name in kind.split(" | ") if name in named)
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _alternatives(each)
    elif get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    else:
        yield kind
