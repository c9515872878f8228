"""Shards: assignment of tensors to the files of a checkpoint, and the files' names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

UNITS = {"B": 1} | {
    prefix + suffix: base**power
    for suffix, base in (("B", 1000), ("IB", 1024))
    for power, prefix in enumerate("KMGT", start=1)
}


def shard_name(number: int, count: int) -> str:
    """Return the name of shard `number`, counted from 0, of `count`."""
    return SINGLE_FILE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def split(sizes: Sequence[int], max_shard_size: int | None) -> list[list[int]]:
    """Return the indices into `sizes` (bytes) for each shard; one empty shard if `sizes` is empty.

    The split is greedy and in order, like huggingface_hub's `split_state_dict_into_shards_factory`:
    a tensor above the limit gets its own shard at once, before the shard being filled.

    Raises:
        ValueError: The limit is below one byte.
    """
    if max_shard_size is None:
        return [list(range(len(sizes)))]
    if max_shard_size < 1:
        raise ValueError(f"max_shard_size must be at least 1 byte, not {max_shard_size}")
    shards: list[list[int]] = []
    current: list[int] = []
    filled = 0
    for place, size in enumerate(sizes):
        if size > max_shard_size:
            shards.append([place])
            continue
        if filled + size > max_shard_size:
            shards.append(current)
            current, filled = [], 0
        current.append(place)
        filled += size
    return [*shards, current] if current or not shards else shards


def parse_size(text: str | int) -> int:
    """Return the number of bytes in a size like "50GB".

    Units are B, KB, MB, GB, TB (decimal, as on the Hub) and KiB, MiB, GiB, TiB, in any case; a bare
    number is bytes; a fraction of a byte is dropped.

    Raises:
        ValueError: The text is not a size, or the size is less than one byte.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]*)", str(text).strip())
    unit = UNITS.get(match[2].upper() or "B") if match else None
    if match is None or unit is None:
        raise ValueError(
            f"{str(text)[:40]!r} is not a size; sizes are written as '50GB', '500 MB' or '1.5GiB'"
        )
    size = int(Fraction(match[1]) * unit)
    if size < 1:
        raise ValueError(f"{text!r} is less than one byte")
    return size
