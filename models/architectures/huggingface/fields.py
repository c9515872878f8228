"""Fields of a config class, and the classes of its nested configs."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

# Keys that a constructor reads from its keyword arguments.
_READ = re.compile(r"kwargs(?:\.(?:pop|get)\(|\[)\s*[\"'](\w+)[\"']")
# Nested configs that are made from fields beside them, as in Qwen2-VL's first configs.
_FLAT = re.compile(r"(\w+_config) = \{key: kwargs\.pop\(key\) for key in")


@cache
def fields_of(cls: Any) -> tuple[str, ...]:
    """Return the names that a config class takes.

    These are its fields, their aliases, the names that its code reads or passes to a nested config,
    and the names that the library writes for an object made without arguments.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    bases = cls.__mro__[:-1]
    read = [key for base in bases for key in _read(base)]
    given = (getattr(base, "__init__", None) for base in bases)
    taken = [name for init in given if init for name in inspect.signature(init).parameters]
    inner = [*cls.sub_configs_defaults, *_flat(cls), *_backbone(cls)]
    found = dict.fromkeys([*names, *cls.attribute_map, *inner, *read, *taken, *_written(cls)])
    return tuple(name for name in found if name not in {"self", "args", "kwargs"})


def sub_class(cls: Any, key: str, value: Any) -> Any:
    """Return the class of the nested config `value`, None if the value is not a config.

    The result is also None if the model type decides and is unknown.
    """
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not isinstance(value, Mapping):
        return None
    found = cls.sub_configs.get(key)
    if isinstance(found, type) and issubclass(found, PreTrainedConfig):
        return found
    if found is None and key not in _of_any_class(cls):
        return None
    spec = cls.sub_configs_defaults.get(key)
    kind = value.get("model_type", spec and spec.model_type)
    return CONFIG_MAPPING[kind] if isinstance(kind, str) and kind in CONFIG_MAPPING else None


@cache
def _of_any_class(cls: Any) -> frozenset[str]:
    """Return the fields that hold configs of any model type, as in RAG."""
    fields = dataclasses.fields(cls)
    return frozenset(field.name for field in fields if "PreTrainedConfig" in str(field.type))


def _flat(cls: Any) -> list[str]:
    keys = [key for base in cls.__mro__[:-1] for key in _FLAT.findall(_source(base))]
    inner = [sub_class(cls, key, {}) for key in keys if key in cls.sub_configs_defaults]
    return [name for each in inner if each is not None for name in fields_of(each)]


def _backbone(cls: Any) -> tuple[str, ...]:
    """Return the arguments from which a config makes its nested `backbone_config`."""
    from transformers import backbone_utils

    if "backbone_config" not in {field.name for field in dataclasses.fields(cls)}:
        return ()
    return _read(backbone_utils.consolidate_backbone_kwargs_to_config)


def _written(cls: Any) -> tuple[str, ...]:
    try:
        return tuple(cls().to_dict())
    except Exception:  # noqa: BLE001 - the class may need arguments
        return ()


@cache
def _read(of: Any) -> tuple[str, ...]:
    return tuple(_READ.findall(_source(of)))


@cache
def _source(of: Any) -> str:
    try:
        return inspect.getsource(of)
    except (OSError, TypeError):
        return ""
