"""Preset: an architecture by name, read from a JSON file of this package on demand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from seedpoint.models.validation.faults import near

_FOLDER = files("seedpoint.models.presets") / "data"
_SUFFIX = ".json"
_SHOWN = 8  # names of presets in a message

Kind = Literal["published", "tiny"]


class UnknownPreset(LookupError):
    """Name without a preset; the message lists the most similar names."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Named architecture.

    `architecture` has the form that it has in a spec (`{"type": "transformers", "config": ...}`).
    `source` is the repository on the Hub whose config it has or resembles. `parameters` is the
    number of its parameters, tied ones counted once. `kind` is `published` for presets with a real
    model's sizes, and `tiny` for presets whose files are far below 1 MB.
    """

    name: str
    description: str
    source: str
    kind: Kind
    architecture: Mapping[str, Any]
    parameters: int

    @property
    def dtype(self) -> str:
        """Dtype that the config names; most floating tensors have it."""
        config = self.architecture.get("config", {})
        return str(config.get("dtype") or config.get("torch_dtype") or "float32")

    def summary(self) -> dict[str, Any]:
        """Return the preset as an entry of a list."""
        return {
            "name": self.name,
            "description": self.description,
            "source": self.source,
            "kind": self.kind,
            "parameters": self.parameters,
            "dtype": self.dtype,
        }


@cache
def names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    found = (entry.name for entry in _FOLDER.iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found))


@cache
def get(name: str) -> Preset:
    """Return the preset of that name; do not modify its architecture.

    Raises:
        UnknownPreset: If no preset has the name.
    """
    if name not in names():
        raise UnknownPreset(_unknown(name))
    return Preset(name=name, **json.loads((_FOLDER / f"{name}{_SUFFIX}").read_bytes()))


@cache
def _by_source() -> dict[str, tuple[Preset, ...]]:
    """Return the presets of each repository on the Hub, by its id in lower case."""
    found: dict[str, tuple[Preset, ...]] = {}
    for preset in map(get, names()):
        source = preset.source.lower()
        found[source] = (*found.get(source, ()), preset)
    return found


def resolve(name: str) -> str:
    """Return the name of a preset, given it or the id on the Hub of the model that it is.

    An id may lack its owner (`bert-base-uncased`), as the Hub's oldest ids do.

    Raises:
        UnknownPreset: If no preset has the name, and not just one is of that model.
    """
    if name in names():
        return name
    published = [preset for preset in _of_model(name) if preset.kind == "published"]
    if len(published) == 1:
        return published[0].name
    raise UnknownPreset(_unknown(name))


def _of_model(id_: str) -> list[Preset]:
    """Return the presets whose source is this id on the Hub, with or without its owner."""
    lower = id_.lower()
    if "/" in lower:
        return list(_by_source().get(lower, ()))
    return [
        preset
        for source, presets in _by_source().items()
        if source.rpartition("/")[2] == lower
        for preset in presets
    ]


def spec(
    name: str, overrides: Mapping[str, Any] | None = None, seed: int | None = None
) -> dict[str, Any]:
    """Return the spec that issues a preset, with its own init and dtypes.

    Raises:
        UnknownPreset: If no preset has the name.
    """
    architecture = {"type": "preset", "name": resolve(name)}
    given = {} if not overrides else {"overrides": dict(overrides)}
    init = {} if seed is None else {"init": {"seed": seed}}
    return {"architecture": architecture | given, **init}


def _unknown(name: str) -> str:
    if same := _of_model(name):
        shapes = ", ".join(repr(preset.name) for preset in same)
        return f"no preset is the whole of {name!r}; presets of its shape: {shapes}"
    sources = [preset.source for preset in map(get, names()) if "/" in name]
    last = name.rpartition("/")[2]
    like = near(name, [*names(), *sources]) or near(last, names()) or _sharing(last)[:_SHOWN]
    all_of_them = f"`seedpoint presets` and GET /v1/presets list all {len(names())}"
    hint = f"did you mean {', '.join(like)}?" if like else all_of_them
    return f"unknown preset {name!r}; {hint}"


def _sharing(name: str) -> list[str]:
    """Return the presets of the same family: the names that start with the first word of `name`."""
    family = name.lower().replace("_", "-").partition("-")[0]
    return [known for known in names() if family and known.startswith(family)]
