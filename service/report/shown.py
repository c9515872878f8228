"""Programs, names and numbers as people read them, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def program(described: Mapping[str, Any]) -> str:
    """A program in one line: `normal(mean=0, std=0.02), scale(value=2)`."""
    first = {key: value for key, value in described.items() if key != "transforms"}
    return ", ".join(_call(step) for step in (first, *described.get("transforms", ())))


def printable(text: str) -> str:
    """`text`, with what a terminal or a page would obey escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def number(value: float | None) -> str:
    """Four significant digits; empty where there is none."""
    return "" if value is None else f"{value:.4g}"


def shape(dimensions: list[int]) -> str:
    return "x".join(map(str, dimensions)) or "scalar"


def size(nbytes: int) -> str:
    """Bytes in decimal units, three digits or four."""
    value, unit = float(nbytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{nbytes} bytes" if not unit else f"{value:.{2 if value < 100 else 0}f} {_UNITS[unit]}"


def _call(step: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}={_value(value)}" for key, value in step.items() if key != "type")
    return f"{step['type']}({arguments})"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
