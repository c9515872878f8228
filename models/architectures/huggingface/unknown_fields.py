"""Checks of names that are no fields of a config class: its own code, and misspellings."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from seedpoint.models.architectures.huggingface.fields import fields_of, sub_class

# Attributes that describe the class: the library neither writes nor reads them in a config.
_OF_A_CLASS = frozenset(
    {
        *("attribute_map", "sub_configs", "sub_configs_defaults", "base_config_key"),
        *("keys_to_ignore_at_inference", "ignore_keys_at_rope_validation", "_auto_class"),
        *("base_model_tp_plan", "base_model_pp_plan", "base_model_ep_plan", "base_model_fsdp_plan"),
        *("extra_files", "extra_config_files", "default_theta", "default_rope_type"),
    }
)
# Fields that versions 2 to 4 of the library wrote and later versions derive.
_WORKED_OUT = frozenset({"use_return_dict"})
_NONE = object()  # marks a missing attribute
_MISSPELLED = 0.9  # least difflib ratio of a misspelling
_LONG = 100  # characters of a name that difflib compares
_SHORT = 4  # characters; in a shorter name, one letter more makes another name


def is_code(cls: Any, key: str) -> bool:
    """Return whether a value of this name would replace one of the class's own methods."""
    found = _attribute(cls, key)
    return key.startswith("__") or isinstance(found, (classmethod, staticmethod)) or callable(found)


def is_reserved(cls: Any, key: str) -> bool:
    """Return whether the class itself defines this name: code, or a property without a setter."""
    found = _attribute(cls, key)
    fixed = isinstance(found, property) and found.fset is None
    fixed = fixed or (found is not _NONE and key in _OF_A_CLASS)
    return is_code(cls, key) or (fixed and key not in fields_of(cls))


def is_settable(cls: Any, key: str) -> bool:
    """Return whether the class has an attribute of this name that a config may set.

    Fields of the class do not count.
    """
    return _attribute(cls, key) is not _NONE and not is_reserved(cls, key)


def _attribute(cls: Any, key: str) -> Any:
    if key in {field.name for field in dataclasses.fields(cls)}:
        return _NONE
    return inspect.getattr_static(cls, key, _NONE)


def told(document: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """Return `document` without null values of reserved names, and without obsolete fields."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if (inner := sub_class(cls, key, value)) is not None:
            found[key] = told(value, inner)
        elif key in _WORKED_OUT:
            continue
        elif value is not None or is_code(cls, key) or not is_reserved(cls, key):
            found[key] = value
    return found


def is_misspelled(key: str, known: Sequence[str]) -> bool:
    """Return whether `key` is nearly a known name.

    A name with leading underscores (`_vocab_size`) is another version's form, not a misspelling.
    """
    if key.lstrip("_") in known:
        return False
    near = difflib.get_close_matches(key[:_LONG], known, n=1, cutoff=_MISSPELLED)
    return bool(near) or any(is_slip(key, name) for name in known)


def is_slip(key: str, name: str) -> bool:
    """Return whether two neighbouring letters are swapped, or one letter is missing or added."""
    shorter, longer = sorted((key, name), key=len)
    if len(shorter) < _SHORT or len(longer) - len(shorter) > 1:
        return False
    at = next((i for i, (a, b) in enumerate(zip(key, name, strict=False)) if a != b), len(shorter))
    if len(shorter) < len(longer):
        return shorter[at:] == longer[at + 1 :]
    return key[at : at + 2] == name[at : at + 2][::-1] and key[at + 2 :] == name[at + 2 :] != key
