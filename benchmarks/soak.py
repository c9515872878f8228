"""Soak test: the service's memory must not grow with the number of specs issued.

    python -m benchmarks.soak [POSTS] [CONNECTIONS]

Every spec is new and of one of several kinds; every tenth has statistics computed, and some are
invalid. `--cached-tensors` and `--recorded-tensors` are small, so that the caches are full long
before the end, and any growth after that is a leak.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.processes import Server, memory_bytes, seedpoint

POSTS = 10_000
CONNECTIONS = 4
ROUNDS = 10
FLAGS = ("--cached-tensors", "2000", "--recorded-tensors", "500", "--log-level", "error")


def main(posts: int = POSTS, connections: int = CONNECTIONS) -> None:
    with seedpoint(*FLAGS) as server:
        print(f"{posts} POSTs of distinct specs over {connections} connections")
        print(
            f"{'POSTs':>7} {'seconds':>8} {'service':>9} {'all':>9} {'files':>6} {'processes':>10}"
        )
        started = time.perf_counter()
        show(server, 0, 0.0)
        statuses: Counter[int] = Counter()
        with ThreadPoolExecutor(connections) as clients:
            for number in range(ROUNDS):
                first, last = number * posts // ROUNDS, (number + 1) * posts // ROUNDS
                parts = [range(first + part, last, connections) for part in range(connections)]
                for found in clients.map(lambda part: post(server, part), parts):
                    statuses += found
                show(server, last, time.perf_counter() - started)
        print(f"answers by status: {dict(sorted(statuses.items()))}")


def post(server: Server, numbers: range) -> Counter[int]:
    """Issue the specs of `numbers` on one connection; count the responses by status."""
    connection = server.connect()
    statuses: Counter[int] = Counter()
    for number in numbers:
        headers = {"Content-Type": "application/json"}
        if number % 10:
            headers["Prefer"] = "return=minimal"
        connection.request("POST", "/v1/checkpoints", json.dumps(spec(number)), headers)
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    connection.close()
    return statuses


def spec(number: int) -> dict[str, Any]:
    """Return a small spec that is unique to `number`."""
    size = 1 + number // 5
    linear = {"type": "Linear", "in_features": 8, "out_features": 8}
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "Linear", "in_features": size, "out_features": 4},
        {"type": "Sequential", "layers": [linear, {"type": "ReLU"}, linear]},
        {"type": "Conv2d", "in_channels": size, "out_channels": 4, "kernel_size": 3},
        {"type": "Custom", "parameters": {f"weight{number}": {"shape": [size, 2]}}},
        {"type": "LSTM", "input_size": 4, "hidden_size": 1 + size % 50, "num_layers": 2},
    )
    architecture = kinds[number % 5]
    initializer: dict[str, Any] = {"type": "normal", "std": 0.01}
    if number % 7 == 0:
        initializer = {"type": "constant", "value": number}
    if number % 50 == 1:
        initializer = {"type": "values", "values": [number]}  # Invalid: too few values.
    rules = [{"match": {"ndim": 2}, "initializer": initializer, "optional": True}]
    return {"architecture": architecture, "init": {"seed": number, "rules": rules}}


def show(server: Server, posts: int, seconds: float) -> None:
    """Print a line with the memory, open files and processes of the service."""
    own = sum(map(resident, (server.pid,)))
    print(
        f"{posts:7} {seconds:8.1f} {own / 1e6:6.1f} MB {memory_bytes(server.pid) / 1e6:6.1f} MB "
        f"{open_files(server.pid):6} {len(list(descendants(server.pid))):10}",
        flush=True,
    )


def resident(pid: int) -> int:
    """Return the resident memory of the process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Return the number of open files of the process and its descendants."""
    return sum(len(list(Path(f"/proc/{p}/fd").iterdir())) for p in (pid, *descendants(pid)))


def descendants(pid: int) -> Iterator[int]:
    """Yield the process ids of all descendants."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
