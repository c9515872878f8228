"""Small presets that replace the catalogue's; the Hub protocol is independent of architectures."""

from __future__ import annotations

from typing import Any

from seedpoint.models.presets import Preset, UnknownPreset
from tests.support.running import mlp


class Zoo:
    """Stand-in for `models.presets` in `service.checkpoints.hub_revisions`."""

    UnknownPreset = UnknownPreset

    def __init__(self) -> None:
        self.specs = {
            "tiny-mlp": mlp(),
            "other-1.5": mlp(hidden=64),
            "sharded": mlp() | {"max_shard_size": 20_480},
            "large": mlp(hidden=400_000),  # 50 MB
        }

    def get(self, name: str) -> Preset:
        if name not in self.specs:
            raise UnknownPreset(f"unknown preset {name!r}")
        return Preset(name, "", "", "tiny", {}, 0)

    def spec(self, name: str, *, seed: int) -> dict[str, Any]:
        return self.specs[name] | {"init": {"seed": seed}}
