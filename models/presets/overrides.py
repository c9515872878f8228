"""Overrides of the fields of a preset's config, or of its constructor's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Type of architecture -> key of the fields that overrides change.
PLACES = {"transformers": "config", "timm": "args", "torchvision": "args"}


def overridden(architecture: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `architecture` with `overrides` applied to its config or arguments.

    An object is merged into an object (`vision_config`), key by key; every other value, including a
    list or null, replaces the old one.
    """
    place = PLACES[architecture["type"]]
    return {**architecture, place: _merged(architecture.get(place, {}), overrides)}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged
