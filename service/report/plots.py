"""Plots as the `d` of SVG paths: the page scales, colours and labels them.

Coordinates: x in bins or places from 0, y down from 0 (top) to `HEIGHT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEIGHT = 100.0
_FILLED = 0.96  # Of the height, by the tallest bar or the curve.
_MARGIN = 4.0  # For a dot at an edge.


def histogram(counts: Sequence[int], shares: Sequence[float] | None) -> tuple[str, str]:
    """The outline of `counts` as bars side by side, and that of `shares` of their total.

    The second is empty without shares.
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
    """A dot for each value at its place, to be stroked with round caps.

    `limit` is at an eighth and -limit at seven eighths of the height; what is beyond the
    picture is at its edge.
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
    """As short as a pixel allows."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
