"""Benchmark of statistics: moments of one block, and generation with and without statistics.

It runs on one thread, 16 blocks at a time, like the service's engine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Program
from seedpoint.models.statistics import moments
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS, TensorAccumulator

PAIRS = 7
ELEMENTS = 1 << 26
JOB_ELEMENTS = 16 * BLOCK_ELEMENTS


def main() -> None:
    kernels()
    for source in (Normal.of(0.0, 0.02), Uniform.of(-0.1, 0.1)):
        for dtype in ("float32", "bfloat16"):
            fused(Program(source), dtype)


def kernels() -> None:
    """Print the nanoseconds per element for a block in cache."""
    single = np.random.default_rng(0).normal(0, 0.02, BLOCK_ELEMENTS).astype(np.float32)
    narrow = torch.from_numpy(single).bfloat16().view(torch.int16).numpy().view(np.uint16)
    rows, keys = np.empty((64, len(moments.FIELDS))), np.empty((64, 2), np.int64)
    counts = np.zeros(64, np.int64)
    cases: dict[str, Any] = {
        "float32": single,
        "float64": single.astype(np.float64),
        "bfloat16": narrow,
        "float32, mean 5 std above 0": single + np.float32(0.1),
    }
    for name, values in cases.items():
        moment = best(partial(moments.measure, values, 0, BLOCK_ELEMENTS, rows, keys))
        counted = best(partial(moments.histogram, values, -1.0, 1.0, counts))
        print(f"  {name}: moments {moment:.3f}, histogram {counted:.3f} ns an element")


def best(call: Callable[[], object]) -> float:
    """Return the nanoseconds per element of a block: the best of many calls after a warm-up."""
    call()
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds) / BLOCK_ELEMENTS * 1e9


def fused(program: Program, dtype: str) -> None:
    """Compare generating a tensor of 2^26 elements with statistics and without, in turn."""
    tensor = PlanTensor("weight", (ELEMENTS,), BY_NAME[dtype], "parameter", "Linear", program)
    evaluator = Evaluator(Plan(0, "philox-v1", {}, (tensor,)))
    generate(evaluator, None, stop=JOB_ELEMENTS)
    generate(evaluator, TensorAccumulator(ELEMENTS, tensor.dtype), stop=JOB_ELEMENTS)
    ratios, alone = [], []
    for _ in range(PAIRS):
        alone.append(generate(evaluator, None))
        observed = generate(evaluator, TensorAccumulator(ELEMENTS, tensor.dtype))
        ratios.append(observed / alone[-1])
    print(
        f"{program.source.type} {dtype}: {min(alone) / ELEMENTS * 1e9:.2f} ns an element, "
        f"with statistics {statistics.median(ratios):.2f}x (median of {PAIRS} pairs)"
    )


def generate(
    evaluator: Evaluator, observer: TensorAccumulator | None, stop: int = ELEMENTS
) -> float:
    """Return the seconds for elements [0, stop), one job at a time."""
    out = np.empty(JOB_ELEMENTS * evaluator.plan.tensors[0].dtype.itemsize, np.uint8)
    start = time.perf_counter()
    for first in range(0, stop, JOB_ELEMENTS):
        evaluator.fill(0, first, first + JOB_ELEMENTS, out, observer)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
