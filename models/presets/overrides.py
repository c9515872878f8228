"""Overrides: values laid over a preset's config, or over the arguments of its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where in an architecture of each type the fields are that overrides lie over.
PLACES = {"transformers": "config", "timm": "args", "torchvision": "args"}


def overridden(architecture: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`architecture` with `overrides` laid over its config or arguments.

    An object is merged into an object (`vision_config`), key by key; everything else,
    lists and null included, takes the place of what was there.
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
