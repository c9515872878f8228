"""Columns of a matrix against as many of its rows: what a shard of dimension 1 costs.

python -m benchmarks.windows
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

SIZE = 4096
RANKS = (2, 8, 32)
PAIRS = 7
DRAWS = ("uniform", "normal", "trunc_normal")


def main() -> None:
    print(f"{'one thread, cost of columns / rows':<36}" + "".join(f"{n:>4} ranks" for n in RANKS))
    for dtype in ("float32", "bfloat16"):
        for draw in DRAWS:
            ratios = "".join(f"{ratio(draw, dtype, ranks):>9.2f}x" for ranks in RANKS)
            print(f"{draw + ', ' + dtype:<36}{ratios}")


def ratio(draw: str, dtype: str, ranks: int) -> float:
    """Return the median cost of a rank's columns by that of its rows, over PAIRS pairs."""
    tensor = {"name": "w", "shape": [SIZE, SIZE], "dtype": dtype}
    init = {"rules": [{"match": {}, "initializer": {"type": draw}}]}
    spec = {"architecture": {"type": "tensors", "tensors": [tensor]}, "init": init}
    evaluator = Evaluator(make_plan(parse_spec(spec)).plan)
    width = SIZE // ranks
    rows, columns = f"{width}:{2 * width}", f":,{width}:{2 * width}"
    seconds(evaluator, rows), seconds(evaluator, columns)
    pairs = [seconds(evaluator, columns) / seconds(evaluator, rows) for _ in range(PAIRS)]
    return statistics.median(pairs)


def seconds(evaluator: Evaluator, text: str) -> float:
    part = TensorPart(evaluator, 0, parse_slice(text, (SIZE, SIZE)), "w")
    out = np.empty(part.nbytes, np.uint8)
    out[:] = 0  # the pages are there
    begun = time.perf_counter()
    part.elements(0, part.numel, out)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
