"""Placements in the words of DTensor: `Shard(0)`, `Replicate()`, `_StridedShard(0, 2)`."""

from __future__ import annotations

import re

from seedpoint.models.ranks.placements import (
    Placement,
    PlacementError,
    Replicate,
    Shard,
    StridedShard,
)

_REPLICATE = re.compile(r"(?:Replicate|R)(?:\(\))?")
_SHARD = re.compile(r"(?:Shard|S)\((?:dim=)?(-?[0-9]{1,9})\)")
_STRIDED = re.compile(
    r"_(?:StridedShard|S)\((?:dim=)?(-?[0-9]{1,9}), ?(?:split_factor=|sf=)?([0-9]{1,9})\)"
)


def parse_placement(text: str) -> Placement:
    """Return the placement that DTensor prints as `text`, in its long or its short form.

    Raises:
        PlacementError: It is not one, or one that no initial values can have.
    """
    text = text.strip()
    if _REPLICATE.fullmatch(text):
        return Replicate()
    if found := _SHARD.fullmatch(text):
        return Shard(int(found[1]))
    if found := _STRIDED.fullmatch(text):
        return StridedShard(int(found[1]), int(found[2]))
    if text.startswith(("Partial", "_Partial", "P(")):
        raise PlacementError(
            f"{text[:40]} holds summands, not elements; use Replicate() or Shard(dim)"
        )
    raise PlacementError(
        f"{text[:40]!r} is no placement; use Replicate(), Shard(dim) or "
        "_StridedShard(dim, split_factor=n)"
    )
