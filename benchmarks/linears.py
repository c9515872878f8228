"""Benchmark of eight 4096 x 4096 Linear with statistics, paired with the obvious service."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.obvious import FEATURES, LINEARS
from benchmarks.processes import Server, obvious, seedpoint

PAIRS = 7
INITIALIZERS: dict[str, dict[str, Any]] = {
    "normal": {"type": "normal", "std": 0.02},
    "trunc_normal": {"type": "trunc_normal", "std": 0.02, "a": -0.04, "b": 0.04},
}


def main() -> None:
    with seedpoint() as ours, obvious() as theirs:
        for initializer in INITIALIZERS:
            with_statistics(ours, theirs, initializer)


def with_statistics(ours: Server, theirs: Server, initializer: str) -> None:
    """Time POST to last byte with a new seed each time; the first pair is a warm-up."""
    fast, slow = [], []
    for seed in range(PAIRS + 1):
        asked = {"seed": seed, "initializer": initializer}
        slow.append(theirs.post("/linears", asked)[0])
        seconds, size = ours.post("/v1/checkpoints", spec(initializer, seed), "multipart/mixed")
        fast.append(seconds)
    pairs = list(zip(slow, fast, strict=True))[1:]
    print(
        f"{LINEARS} Linear of {FEATURES} x {FEATURES}, {initializer}, {size / 1e6:.0f} MB with "
        f"statistics: {statistics.median(fast[1:]):.2f} s, obvious service "
        f"{statistics.median(slow[1:]):.2f} s: "
        f"{statistics.median(theirs / ours for theirs, ours in pairs):.1f}x "
        f"(median of {PAIRS} pairs)"
    )


def spec(initializer: str, seed: int) -> dict[str, Any]:
    layer = {"type": "Linear", "in_features": FEATURES, "out_features": FEATURES}
    rules = [
        {"match": {"parameter": "weight"}, "initializer": INITIALIZERS[initializer]},
        {"match": {"parameter": "bias"}, "initializer": {"type": "zeros"}},
    ]
    return {
        "architecture": {"type": "Sequential", "layers": [layer] * LINEARS},
        "init": {"seed": seed, "rules": rules},
    }


if __name__ == "__main__":
    main()
