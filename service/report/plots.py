"""Plots as `d` attributes of SVG paths; the page scales, colours and labels them.

Coordinates: x counts bins or values from 0; y goes down from 0 (top) to `HEIGHT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEIGHT = 100.0
_FILLED = 0.96  # Share of the height that the tallest bar or the curve takes.
_MARGIN = 4.0  # Distance of a dot from the top or bottom edge.


def histogram(counts: Sequence[int], shares: Sequence[float] | None) -> tuple[str, str]:
    """Return the outline of `counts` as adjacent bars, and that of `shares` of their total.

    The second is empty without `shares`.
    """
    total = sum(counts)
    expected = [share * total for share in shares or ()]
    tallest = max((*counts, *expected), default=0) or 1
    bars, curve = (
        [HEIGHT * (1 - _FILLED * value / tallest) for value in values]
        for values in (counts, expected)
    )
    return _steps(bars), _steps(curve)


def dots(values: Iterable[float | None], limit: float) -> str:
    """Return a dot for each value, with its index as x, to be stroked with round caps.

    `limit` is at 1/8 and -limit at 7/8 of the height; values outside are drawn at the edge.
    """
    scale = HEIGHT * 3 / 8 / limit
    return "".join(
        f"M{at} {_number(min(max(HEIGHT / 2 - value * scale, _MARGIN), HEIGHT - _MARGIN))}h0"
        for at, value in enumerate(values)
        if value is not None
    )


def _steps(heights: Sequence[float]) -> str:
    parts = "".join(f"V{_number(y)}h1" for y in heights)
    return f"M0 {_number(HEIGHT)}{parts}V{_number(HEIGHT)}" if parts else ""


def _number(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
