"""Presets: named architectures as data, of published models and of tiny ones shaped like them."""

from __future__ import annotations

from seedpoint.models.presets.overrides import PLACES, overridden
from seedpoint.models.presets.preset import Preset, UnknownPreset, get, names, resolve, spec

__all__ = ["PLACES", "Preset", "UnknownPreset", "get", "names", "overridden", "resolve", "spec"]
