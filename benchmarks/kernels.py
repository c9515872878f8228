"""Benchmark of the CPU kernels, paired with PyTorch's own initializers.

Run: python -m benchmarks.kernels [--elements N] [--threads N] [--chunk N] [--runs N]

Each round times PyTorch, then our kernels into reused chunk buffers (as for served bytes and
statistics), then our kernels into one array of the whole tensor. A busy or throttled machine thus
slows all three. The output has the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from seedpoint.models.draws import Draw, Normal, TruncNormal, Uniform
from seedpoint.models.stream import cpu
from seedpoint.models.stream.key import derive_key
from seedpoint.service.generation.thread_placement import Placement

KEY = derive_key(0, "weight")

# Name -> PyTorch's initializer, our draw. Since 2.13 `trunc_normal_` redraws the
# whole tensor until no value is out of bounds: many times with bounds at 2 std, once at 100 std.
CASES: dict[str, tuple[Callable[[torch.Tensor], Any], Draw]] = {
    "uniform": (lambda t: t.uniform_(), Uniform.of(0.0, 1.0)),
    "normal": (lambda t: t.normal_(), Normal.of(0.0, 1.0)),
    "trunc_normal, 2 std": (
        lambda t: torch.nn.init.trunc_normal_(t, 0.0, 1.0, -2.0, 2.0),
        TruncNormal.of(0.0, 1.0, -2.0, 2.0),
    ),
    "trunc_normal, 100 std": (
        lambda t: torch.nn.init.trunc_normal_(t, 0.0, 0.02, -2.0, 2.0),
        TruncNormal.of(0.0, 0.02, -2.0, 2.0),
    ),
}


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    cpu.warm_up()
    print(f"{options.elements} elements, {options.threads} threads, chunks of {options.chunk}")
    print(f"{'M elements/s':<28}{'torch':>8}{'chunks':>8}{'ratio':>8}{'array':>8}{'ratio':>8}")
    placed = Placement(pinned=True)  # Like the service's threads, so that no two share a CPU.
    with ThreadPoolExecutor(options.threads, initializer=placed) as pool:
        for dtype in (np.float32, np.uint16):
            for name in CASES:
                theirs, chunks, array = rates(name, dtype, pool, options)
                label = name if dtype == np.float32 else f"{name}, bf16"
                print(
                    f"{label:<28}{theirs:>8.0f}{chunks:>8.0f}{chunks / theirs:>7.1f}x"
                    f"{array:>8.0f}{array / theirs:>7.1f}x"
                )
        for name in CASES:
            print(f"{name} of 8 elements: {small(name):.2f} us a call")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=2**26)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=2**17)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def rates(
    name: str, dtype: Any, pool: ThreadPoolExecutor, options: argparse.Namespace
) -> tuple[float, float, float]:
    """Return median M elements/s of torch, our chunk buffers and our single array."""
    theirs, draw = CASES[name]
    tensor = torch.ones(
        options.elements, dtype=torch.float32 if dtype == np.float32 else torch.bfloat16
    )
    array = np.ones(options.elements, dtype)  # Touched, so that page faults are not measured.
    buffers = np.empty((options.threads, options.chunk), dtype)

    def reused(thread: int, start: int, stop: int) -> None:
        cpu.fill(draw.type, buffers[thread][: stop - start], KEY, 0, start, draw.f32)

    def whole(_thread: int, start: int, stop: int) -> None:
        cpu.fill(draw.type, array[start:stop], KEY, 0, start, draw.f32)

    seconds = [
        (
            timed(lambda: theirs(tensor)),
            timed(lambda: fill(pool, options, reused)),
            timed(lambda: fill(pool, options, whole)),
        )
        for _ in range(options.runs + 1)
    ][1:]
    medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
    one, two, three = (options.elements / median / 1e6 for median in medians)
    return one, two, three


def fill(
    pool: ThreadPoolExecutor, options: argparse.Namespace, call: Callable[[int, int, int], None]
) -> None:
    """Fill every chunk once; thread k of n takes chunks k, k + n, k + 2n, ..."""

    def work(thread: int) -> None:
        step = options.chunk * options.threads
        for start in range(thread * options.chunk, options.elements, step):
            call(thread, start, min(start + options.chunk, options.elements))

    list(pool.map(work, range(options.threads)))


def small(name: str) -> float:
    """Return the microseconds of a call for 8 elements."""
    _, draw = CASES[name]
    out = np.empty(8, np.float32)
    calls = 10_000

    def call() -> None:
        for start in range(calls):
            cpu.fill(draw.type, out, KEY, 0, start, draw.f32)

    seconds = timed(call)
    return seconds / calls * 1e6


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
