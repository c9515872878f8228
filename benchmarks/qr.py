"""Benchmark of our bit-reproducible Householder QR, paired with LAPACK's.

Run: python -m benchmarks.qr [--threads N] [--runs N] [--shape 2048x2048 ...]

Each round times `torch.linalg.qr` in float64 and then our QR (R's diagonal and the whole of Q) of
the same matrix. The output has the medians over rounds, and the median of the rounds' ratios. The
last column is the complete `orthogonal`: normal values, QR, signs, gain and rounding.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from seedpoint.models.stream import orthogonal, qr
from seedpoint.models.stream.key import derive_key
from seedpoint.models.stream.parallel import Each, helped

KEY = derive_key(0, "weight")
SHAPES = ("64x64", "512x512", "2048x2048", "4096x512", "100000x64")


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    orthogonal.warm_up()
    print(f"float64, {options.threads} threads, milliseconds")
    print(f"{'':<14}{'torch':>10}{'ours':>10}{'ratio':>8}{'orthogonal':>12}")
    with ThreadPoolExecutor(options.threads) as pool:
        each = helped(pool, options.threads)
        for text in options.shape:
            rows, columns = map(int, text.split("x"))
            theirs, ours, ratio = compared(rows, columns, each, options.runs)
            all_of_it = timed(
                partial(orthogonal.orthogonal, KEY, 0, (rows, columns), 1.0, each=each)
            )
            print(
                f"{text:<14}{theirs * 1e3:>10.1f}{ours * 1e3:>10.1f}{ratio:>7.2f}x"
                f"{all_of_it * 1e3:>12.1f}"
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--shape", nargs="+", default=SHAPES, help="ROWSxCOLUMNS, rows >= columns")
    return parser.parse_args()


def compared(rows: int, columns: int, each: Each, runs: int) -> tuple[float, float, float]:
    """Return median seconds of torch and of ours, and the median ratio of ours to torch."""
    tiles = qr.empty(rows, columns)
    count = len(tiles) * qr.WIDTH
    padded = torch.zeros(rows, count, dtype=torch.float64)
    padded[:, :columns] = torch.randn(rows, columns, dtype=torch.float64)
    source, matrix = padded.view(rows, -1, qr.WIDTH).transpose(0, 1), padded[:, :columns].clone()
    seconds = []
    for _ in range(runs + 1):
        theirs = timed(lambda: torch.linalg.qr(matrix))
        torch.from_numpy(tiles).copy_(source)
        ours = timed(lambda: qr.decompose(tiles, columns, each))
        seconds.append((theirs, ours, ours / theirs))
    theirs, ours, ratio = map(statistics.median, zip(*seconds[1:], strict=True))
    return theirs, ours, ratio


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
