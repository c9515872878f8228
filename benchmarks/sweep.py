"""Benchmark of sweeps over seeds, rules and dtypes of one architecture, which is built once.

python -m benchmarks.sweep
"""

from __future__ import annotations

import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks.processes import Server, drain, seedpoint
from seedpoint.service.planning.task import PlanBody, Planner
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.worker import CallLimits, Worker

EXAMPLES = Path(__file__).parent.parent / "examples"
POSTS = 200
LIMITS = CallLimits(seconds=60, memory_bytes=2 << 30)
LINEAR = {"type": "Linear", "in_features": 64, "out_features": 64}
SPECS: dict[str, dict[str, Any]] = {
    "MLP, 4 tensors": json.loads((EXAMPLES / "mlp.json").read_text()),
    "GPT-2, 148 tensors": json.loads((EXAMPLES / "gpt2.json").read_text()),
    "500 Linear, 1000 tensors": {
        "architecture": {"type": "Sequential", "layers": [LINEAR] * 500},
        "init": {"rules": [{"match": {"ndim": 1}, "initializer": {"type": "zeros"}}]},
    },
}


def main() -> None:
    with tempfile.TemporaryDirectory() as store, ExitStack() as stack:
        task = Planner(DirectoryStore(Path(store)), max_materialized_bytes=0).task()
        worker = stack.enter_context(closing(Worker(forkserver.context(), task)))
        worker.wait_until_warm()
        for name, spec in SPECS.items():
            print(f"{name}: planned in a worker in")
            for what, swept in SWEEPS.items():
                seconds = timed(lambda body: worker.call(PlanBody(body), LIMITS), swept(spec))
                print(f"  {what:7} {shown(seconds[1:])}; the first in {1e3 * seconds[0]:.1f} ms")
    with seedpoint("--build-workers", "1") as server:
        for name, spec in SPECS.items():
            for prefer, posts in (("return=minimal", POSTS), ("with statistics", POSTS // 10)):
                seconds = posted(server, islice(seeds(spec), posts), prefer)
                print(f"{name}: POST, seeds, {prefer}: {shown(seconds[1:])}")


def seeds(spec: dict[str, Any]) -> Iterator[bytes]:
    """Yield the spec with new seeds, each used only once."""
    document = copy.deepcopy(spec)
    for seed in islice(NEW, POSTS):
        document["init"]["seed"] = seed
        yield json.dumps(document).encode()


def rules(spec: dict[str, Any]) -> Iterator[bytes]:
    """Yield the spec with one more rule, whose argument changes each time."""
    document = copy.deepcopy(spec)
    own = document["init"].get("rules", [])
    for number in range(POSTS):
        drawn = {"type": "normal", "std": 0.01 * (number + 1)}
        document["init"]["rules"] = [*own, {"initializer": drawn, "optional": True}]
        yield json.dumps(document).encode()


def dtypes(spec: dict[str, Any]) -> Iterator[bytes]:
    """Yield the spec in alternating dtypes."""
    for number in range(POSTS):
        dtype = ("float32", "bfloat16", "float16", "float64")[number % 4]
        yield json.dumps(spec | {"dtype": dtype}).encode()


NEW = count()
SWEEPS: dict[str, Callable[[dict[str, Any]], Iterator[bytes]]] = {
    "seeds": seeds,
    "rules": rules,
    "dtypes": dtypes,
}


def timed(run: Callable[[bytes], object], bodies: Iterator[bytes]) -> list[float]:
    """Return the seconds of each run."""
    seconds = []
    for body in bodies:
        start = time.perf_counter()
        run(body)
        seconds.append(time.perf_counter() - start)
    return seconds


def posted(server: Server, bodies: Iterator[bytes], prefer: str) -> list[float]:
    """Return the seconds of each POST on one connection, to the last byte of the response."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Prefer": prefer} if prefer.startswith("return") else {}
    with closing(server.connect()) as connection:

        def post(body: bytes) -> None:
            connection.request("POST", "/v1/checkpoints", body, headers)
            drain(connection.getresponse())

        return timed(post, bodies)


def shown(seconds: list[float]) -> str:
    """Format the median and the 90th percentile in milliseconds."""
    ordered = sorted(1e3 * second for second in seconds)
    return f"{statistics.median(ordered):.2f} ms (p90 {ordered[int(0.9 * len(ordered))]:.2f})"


if __name__ == "__main__":
    main()
