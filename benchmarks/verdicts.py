"""Calibration of the verdicts: correct tensors must pass, and planted faults must be detected.

python -m benchmarks.verdicts [TENSORS]    at least this many correct tensors, 20,000 by default
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seedpoint.models import initializers
from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Clamp,
    Constant,
    Eye,
    Literal,
    Orthogonal,
    Part,
    Program,
    Scale,
    Split,
)
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS, CheckpointStatistics

RIGHT = 20_000
COPIES = 5  # of every law, which is computed once: most of a first tensor's time
PLANTED = 100  # times each fault
DTYPES = (
    *("float32", "float64", "bfloat16", "float16"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
)
SHAPES = (
    *((1,), (2,), (7,), (64,), (1000,), (1, 1), (16, 16), (5, 40), (64, 48), (48, 64)),
    *((3, 1000), (300, 200), (8, 4, 3), (16, 8, 3, 3)),
)
LARGE = ((1100, 1000), (70, 20_000), (30_000, 70))
DIMENSIONS = {"eye": (2, 2), "dirac": (3, 5), "bilinear": (3, 5), "sparse": (2, 2), "sum": (2, 2)}
WHOLE_SPECS = ("values", "own", "copy", "norms")  # whose examples need their own architecture
ANY = ("uniform", "normal", "trunc_normal", "constant", "ones", "zeros")

MORE: dict[str, dict[str, Any]] = {
    "narrow trunc_normal": {"type": "trunc_normal", "std": 0.02, "a": -0.04, "b": 0.04},
    "tail": {"type": "trunc_normal", "mean": 0.0, "std": 1.0, "a": 3.0, "b": 6.0},
    "one-sided": {"type": "trunc_normal", "mean": 1.0, "std": 2.0, "a": 0.0, "b": 50.0},
    "two values": {"type": "normal", "mean": 100.0, "std": 0.5},
    "shifted": {"type": "normal", "mean": -3.0, "std": 1.0},
    "from 0": {"type": "uniform", "a": 0.0, "b": 1.0},
}
TRANSFORMS: dict[str, list[dict[str, Any]]] = {
    "scaled": [{"type": "scale", "value": 0.3}, {"type": "add", "value": 5.0}],
    "clamped": [{"type": "clamp", "min": -0.01, "max": 0.02}],
    "relu": [{"type": "clamp", "min": 0.0}],
    "all but clamped": [{"type": "scale", "value": 100.0}, {"type": "clamp", "min": -1, "max": 1}],
    "clamped away": [{"type": "scale", "value": 1e9}, {"type": "clamp", "min": -1, "max": 1}],
    "rare": [{"type": "hard_threshold", "value": 0.02}],
    "row of zeros": [{"type": "zero_rows", "rows": [0]}],
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RIGHT
    start = time.perf_counter()
    verdicts, failed, highest = calibrate(count, COPIES)
    seconds = time.perf_counter() - start
    print(
        f"right tensors: {verdicts.total():,}, {verdicts[True]:,} pass, {verdicts[False]:,} fail, "
        f"{verdicts[None]:,} not judged; {seconds:.0f} s"
    )
    for name, found in failed:
        print(f"  FALSE ALARM {name}: {found['criteria']} {found.get('parts', '')}")
    print("highest shares of what is allowed:")
    for criterion, share in sorted(highest.items()):
        print(f"  {criterion}: {share:.2f}")
    print(f"planted faults, {PLANTED} of each:")
    for fault in FAULTS:
        seen, by = plant(fault, PLANTED)
        told = ", ".join(f"{name} {times}" for name, times in by.most_common(3))
        print(f"  {fault.name}, {fault.shape} {fault.dtype}: {seen} seen ({told})")


# --- correct tensors -------------------------------------------------------------------------


def calibrate(
    count: int, copies: int = 1
) -> tuple[Counter[bool | None], list[tuple[str, Mapping[str, Any]]], dict[str, float]]:
    """Judge at least `count` correct tensors.

    Returns the counts of verdicts, the tensors that failed, and by criterion the highest share
    of its limit.
    """
    verdicts: Counter[bool | None] = Counter()
    failed: list[tuple[str, Mapping[str, Any]]] = []
    highest: dict[str, float] = {}
    for name, found in right(copies):
        verdicts[found["pass"]] += 1
        if found["pass"] is False:
            failed.append((name, found))
        for judged in (found, *found.get("parts", ())):
            for criterion, share in judged["criteria"].items():
                told = math.inf if share is None else share
                highest[criterion] = max(told, highest.get(criterion, 0.0))
        if verdicts.total() >= count:
            break
    return verdicts, failed, highest


def right(copies: int = 1) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield correct tensors endlessly, of every initializer, shape and dtype; large ones once."""
    seed = 0
    while True:
        for number, dtype in enumerate(DTYPES):
            large = (LARGE[(seed + number) % len(LARGE)],) if copies > 1 or seed % 5 == 4 else ()
            for document in (spec(large, dtype, seed, copies), *given(dtype, seed)):
                yield from judged(make_plan(parse_spec(document)))
        seed += 1


def judged(planned: Planned) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name, statistics and verdict of every tensor of a plan."""
    gathered = CheckpointStatistics(planned.plan, planned.blobs)
    evaluator = Evaluator(planned.plan, planned.blobs)
    for number, tensor in enumerate(planned.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(number, 0, tensor.numel, out, gathered.observers.get(tensor.name))
        found = gathered.tensor(tensor)
        yield f"{tensor.name} {tensor.dtype} seed {planned.plan.seed}", found


def spec(
    large: tuple[tuple[int, ...], ...], dtype: str, seed: int, copies: int = 1
) -> dict[str, Any]:
    """Return a spec with `copies` tensors for every initializer and shape, one for `large` ones.

    Some have transforms, some are split into parts.
    """
    tensors: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    laws = itertools.product({**_catalogue(), **MORE}.items(), (*SHAPES, *large))
    for number, ((kind, initializer), shape) in enumerate(laws):
        if not _takes(initializer["type"], len(shape)):
            continue
        label, rule = _rule(initializer, shape, number + seed)
        name = f"{kind} {'x'.join(map(str, shape))}{label}".replace(".", "_")
        for copy in range(1 if shape in large else copies):
            found = {"name": f"{name} copy {copy}", "shape": list(shape)}
            tensors.append({**found, "dtype": BY_NAME[dtype].code})
        rules.append({"match": {"name": f"{name} copy *"}, **rule})
    architecture = {"type": "tensors", "tensors": tensors}
    return {"architecture": architecture, "init": {"seed": seed, "rules": rules}}


def _rule(
    initializer: dict[str, Any], shape: tuple[int, ...], turn: int
) -> tuple[str, dict[str, Any]]:
    """Return a label and a rule: in turn a plain one, one with transforms, one with parts."""
    drawn = initializer["type"] not in ("constant", "ones", "zeros", "eye", "dirac")
    if turn % 3 == 1 and drawn and initializer["type"] != "orthogonal":
        transforms = list(TRANSFORMS.items())
        label, steps = transforms[turn // 3 % len(transforms)]
        return f" {label}", {"initializer": initializer, "transforms": steps}
    if turn % 3 == 2 and len(shape) == 2 and shape[turn % 2] > 2:
        return " split", {"initializer": initializer, "splits": _splits(turn % 2, shape[turn % 2])}
    return "", {"initializer": initializer}


def given(dtype: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the catalogue's specs of given values and own inits, and one with integer buffers."""
    if dtype.endswith("fnuz"):  # Not allowed as the dtype of a whole spec.
        return
    specs = {entry["type"]: entry["spec"] for entry in initializers.catalogue()}
    for kind in WHOLE_SPECS:
        document = specs[kind]
        yield {**document, "init": {**document["init"], "seed": seed}, "dtype": dtype}
    layers = [{"type": "BatchNorm1d", "num_features": 10}, {"type": "Linear", "in_features": 10,
               "out_features": 7}]  # fmt: skip
    yield {
        "architecture": {"type": "Sequential", "layers": layers},
        "init": {"seed": seed},
        "dtype": dtype,
    }


def _catalogue() -> dict[str, dict[str, Any]]:
    entries = {entry["type"]: entry["example"] for entry in initializers.catalogue()}
    return {kind: example for kind, example in entries.items() if kind not in WHOLE_SPECS}


def _takes(kind: str, dimensions: int) -> bool:
    low, high = (1, 9) if kind in ANY else DIMENSIONS.get(kind, (2, 9))
    return low <= dimensions <= high


def _splits(axis: int, size: int) -> dict[str, Any]:
    first = size // 3
    return {"axis": axis, "parts": [{"size": first}, {"size": size - first}]}


# --- planted faults --------------------------------------------------------------------------

Values = torch.Tensor
Draw = Callable[[torch.Generator, tuple[int, ...]], Values]


@dataclass(frozen=True)
class Fault:
    """Values that contradict `program`, of a shape at which the fault is always detected."""

    name: str
    program: Program
    shape: tuple[int, ...]
    wrong: Draw
    dtype: str = "float32"
    blobs: Mapping[str, bytes] | None = None


def plant(fault: Fault, times: int) -> tuple[int, Counter[str]]:
    """Return how often a fault is detected, and the counts by criterion, including parts."""
    seen, by = 0, Counter[str]()
    for seed in range(times):
        values = fault.wrong(torch.Generator().manual_seed(seed), fault.shape)
        found = look(fault.program, values, fault.dtype, fault.blobs)
        seen += found["pass"] is False
        for each in (found, *found.get("parts", ())):
            by.update(n for n, share in each["criteria"].items() if share is None or share > 1)
    return seen, by


def look(
    program: Program, values: Values, dtype: str, blobs: Mapping[str, bytes] | None = None
) -> dict[str, Any]:
    """Return the statistics of a tensor with `values` that is judged as `program`."""
    shape = tuple(values.shape)
    tensor = PlanTensor("w", shape, BY_NAME[dtype], "parameter", "", program)
    gathered = CheckpointStatistics(Plan(0, "philox-v1", {}, (tensor,)), blobs)
    raw = values.to(tensor.dtype.torch).contiguous().flatten().view(torch.uint8).numpy()
    size = BLOCK_ELEMENTS * tensor.dtype.itemsize
    for block, start in enumerate(range(0, len(raw), size)):
        gathered.observers["w"].add(block, raw[start : start + size])
    return gathered.tensor(tensor)


def normal(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    return torch.empty(shape).normal_(generator=generator)


def uniform(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    """Draw uniform values with a std of 1."""
    return torch.empty(shape).uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)


def laplace(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    """Draw Laplace values with a std of 1."""
    magnitude = torch.empty(shape).exponential_(generator=generator) / math.sqrt(2)
    return magnitude * normal(generator, shape).sign()


def truncated(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    """Draw normal values truncated at two std and rescaled to a std of 1."""
    values = torch.nn.init.trunc_normal_(torch.empty(shape), generator=generator)
    return values.clamp(-2, 2) / 0.8796


def orthogonal(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    return torch.nn.init.orthogonal_(torch.empty(shape), generator=generator)


def _repeated(halves: Values) -> Values:
    return torch.cat([halves, halves])


def _row(values: Values, row: int, factor: float) -> Values:
    values[row] *= factor
    return values


def _with(values: Values, place: tuple[int, ...], value: float) -> Values:
    values[place] = value
    return values


def _skewed(generator: torch.Generator, shape: tuple[int, ...]) -> Values:
    """Draw an orthogonal matrix and tilt its first line towards the second by a tenth."""
    values = orthogonal(generator, shape)
    lines = values if shape[0] <= shape[1] else values.T
    lines[0] = (lines[0] + 0.1 * lines[1]) / math.sqrt(1.01)
    return values


N = Program(Normal.of(0.0, 1.0))
U = Program(Uniform.of(-math.sqrt(3), math.sqrt(3)))
TWO_VALUED = Program(Normal.of(0.0, 1.0), (Scale(1e9), Clamp(-1.0, 1.0)))
QKV = Program(
    Split(
        0,
        (
            Part(64, Program(Normal.of(0.0, 1.0))),
            Part(64, Program(Normal.of(0.0, 1.2))),
            Part(64, Program(Constant(0.0))),
        ),
    )
)
GIVEN = torch.arange(1000, dtype=torch.float32) / 7
GIVEN_PROGRAM, BLOBS = Program(Literal("0" * 64, "float32")), {"0" * 64: GIVEN.numpy().tobytes()}


def _qkv(generator: torch.Generator, *stds: float) -> Values:
    return torch.cat([std * normal(generator, (64, 100)) for std in stds])


FAULTS = (
    Fault("std 2 % off", N, (512, 512), lambda g, s: 1.02 * normal(g, s)),
    Fault("std 1 % off", N, (1024, 1024), lambda g, s: 0.99 * normal(g, s), "bfloat16"),
    Fault("std 10 % off", N, (96, 96), lambda g, s: 1.1 * normal(g, s)),
    Fault("mean 0.05 std off", N, (256, 256), lambda g, s: normal(g, s) + 0.05),
    Fault("all zeros", N, (64,), lambda g, s: torch.zeros(s)),
    Fault("zeros of two values", TWO_VALUED, (32,), lambda g, s: torch.zeros(s)),
    Fault("uniform, right std", N, (64, 64), uniform),
    Fault("normal, right std", U, (64, 64), normal),
    Fault("Laplace, right std", N, (64, 64), laplace),
    Fault("truncated at 2 std, right std", N, (128, 128), truncated),
    Fault("clipped at 3 std", N, (256, 256), lambda g, s: normal(g, s).clamp(-3, 3)),
    Fault("sorted", N, (64, 64), lambda g, s: normal(g, s).flatten().sort().values.view(s)),
    Fault("rows all alike", N, (64, 64), lambda g, s: normal(g, (1, 64)).repeat(64, 1)),
    Fault("halves alike", N, (64, 64), lambda g, s: _repeated(normal(g, (32, 64)))),
    Fault("halves alike", N, (2048, 1024), lambda g, s: _repeated(normal(g, (1024, 1024)))),
    Fault("one row of zeros", N, (64, 128), lambda g, s: _row(normal(g, s), 5, 0.0)),
    Fault("one row twice as large", N, (64, 256), lambda g, s: _row(normal(g, s), 5, 2.0)),
    Fault("one row of zeros", N, (1024, 4096), lambda g, s: _row(normal(g, s), 777, 0.0)),
    Fault("one value of 12 std", N, (1000, 1000), lambda g, s: _with(normal(g, s), (7, 7), 12.0)),
    Fault("one NaN", N, (64,), lambda g, s: _with(normal(g, s), (7,), math.nan)),
    Fault(
        "one value past the bounds",
        Program(TruncNormal.of(0.0, 1.0, -2.0, 2.0)),
        (64, 64),
        lambda g, s: _with(normal(g, s).fmod(2.0) * 0.9, (3, 3), 2.01),
    ),
    Fault("orthogonal, 1 % off", Program(Orthogonal(1.0)), (64, 64),
          lambda g, s: 1.01 * orthogonal(g, s)),
    Fault("orthogonal but for one line", Program(Orthogonal(1.0)), (16, 16), _skewed),
    Fault("orthogonal but for one line", Program(Orthogonal(1.0)), (64, 200), _skewed, "bfloat16"),
    Fault("normal for orthogonal, right norm", Program(Orthogonal(1.0)), (300, 100),
          lambda g, s: torch.nn.functional.normalize(normal(g, s).view(-1), dim=0).view(s) * 10),
    Fault("permuted identity", Program(Eye()), (30, 30),
          lambda g, s: torch.eye(s[0])[torch.arange(s[0]).roll(1)]),
    Fault("constant off by its last bit", Program(Constant(1.0)), (100,),
          lambda g, s: _with(torch.ones(s), (3,), 1.0 + 2.0**-23)),
    Fault("one integer off", Program(Constant(7)), (100,),
          lambda g, s: _with(torch.full(s, 7), (3,), 8), "int64"),
    Fault("one given value off", GIVEN_PROGRAM, (1000,),
          lambda g, s: _with(GIVEN.clone(), (3,), 0.0), "float32", BLOBS),
    Fault("parts exchanged", QKV, (192, 100), lambda g, s: _qkv(g, 1.2, 1.0, 0.0)),
    Fault("a part of zeros is drawn", QKV, (192, 100), lambda g, s: _qkv(g, 1.0, 1.2, 0.01)),
)  # fmt: skip


if __name__ == "__main__":
    main()
