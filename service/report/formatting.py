"""Formatting of programs, names and numbers for people, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

MOST_PARTS = 6  # Parts of a split that are shown; repeated parts count once.

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def program(described: Mapping[str, Any]) -> str:
    """Return a program in one line: `normal(mean=0, std=0.02), scale(value=2)`."""
    first = {key: value for key, value in described.items() if key != "transforms"}
    if described["type"] == "plus":  # Its key `transforms` is an argument.
        return _call(described)
    source = _split(first) if first["type"] == "split" else _call(first)
    return ", ".join((source, *(_call(step) for step in described.get("transforms", ()))))


def place(axes: Sequence[Mapping[str, int]]) -> str:
    """Return a part's place in slice notation: `[0:64]`, `[:, 64:128]`."""
    last = max(axis["axis"] for axis in axes)
    found = [":"] * (last + 1)
    for axis in axes:
        before = found[axis["axis"]].partition(":")[0]
        offset = int(before) if before else 0
        found[axis["axis"]] = f"{offset + axis['start']}:{offset + axis['stop']}"
    return f"[{', '.join(found)}]"


def printable(text: str) -> str:
    """Return `text` with unprintable characters escaped, which a terminal or a page might obey."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def number(value: float | None) -> str:
    """Return a number with four significant digits; empty for None."""
    return "" if value is None else f"{value:.4g}"


def shape(dimensions: list[int]) -> str:
    return "x".join(map(str, dimensions)) or "scalar"


def size(nbytes: int) -> str:
    """Return a size in decimal units, with three or four digits."""
    value, unit = float(nbytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{nbytes} bytes" if not unit else f"{value:.{2 if value < 100 else 0}f} {_UNITS[unit]}"


def _call(step: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}={_value(value)}" for key, value in step.items() if key != "type")
    return f"{step['type']}({arguments})"


def _split(described: Mapping[str, Any]) -> str:
    """Return `split along axis 0: 64 of normal(mean=0, std=1), 2 x 32 of constant(value=0)`.

    A list of several parts that repeats is `split along axis 0, 8 times: ...`.
    """
    parts = [(part["size"], program(part["program"])) for part in described["parts"]]
    runs = [(part, len(list(run))) for part, run in groupby(parts)]
    repeat = described.get("repeat", 1)
    if len(runs) == 1:
        runs, repeat = [(runs[0][0], runs[0][1] * repeat)], 1
    words = [
        f"{f'{times} x ' if times > 1 else ''}{size} of {made}" for (size, made), times in runs
    ]
    more = len(words) - MOST_PARTS
    rest = f", and {more} more" if more > 0 else ""
    again = f", {repeat} times" if repeat > 1 else ""
    return f"split along axis {described['axis']}{again}: {', '.join(words[:MOST_PARTS])}{rest}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        if "type" not in value:
            return f"{_value(value['real'])} + {_value(value['imag'])}i"
        return program(value)
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        return ", ".join(map(_value, value))
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
