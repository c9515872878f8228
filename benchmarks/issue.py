"""Benchmark of issuing checkpoints over HTTP, paired with the obvious service."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import PeakMemory, Server, drain, obvious, seedpoint

EXAMPLES = Path(__file__).parent.parent / "examples"
ROUNDS = 9
WARM_UP = 2
OCTETS = "application/octet-stream"


def main() -> None:
    with seedpoint() as ours, obvious() as theirs:
        from_post_to_last_byte(ours, theirs)
        small_file(ours)
        thousand_tensors(ours)
    with seedpoint() as ours:
        four_gigabytes(ours)


def from_post_to_last_byte(ours: Server, theirs: Server) -> None:
    """Time POSTs of examples/gpt2.json with a new seed each, so that nothing is cached."""
    spec = json.loads((EXAMPLES / "gpt2.json").read_text())
    ratios, rates = [], []
    for seed in range(WARM_UP + ROUNDS):
        spec["init"]["seed"] = seed
        slow, _ = theirs.post("/checkpoints", {"seed": seed})
        fast, size = ours.post("/v1/checkpoints", spec, accept=OCTETS)
        if seed >= WARM_UP:
            ratios.append(slow / fast)
            rates.append(size / fast / 1e9)
            print(f"  GPT-2 124M, POST to last byte: {fast:.3f} s, obvious service {slow:.3f} s")
    print(
        f"GPT-2 124M ({size / 1e6:.0f} MB): {statistics.median(rates):.2f} GB/s, "
        f"{statistics.median(ratios):.1f}x the obvious service (median of {ROUNDS} pairs)"
    )


def small_file(ours: Server) -> None:
    """Time GETs of the file of examples/mlp.json on one connection."""
    connection = ours.connect()
    resource = _post(ours, json.loads((EXAMPLES / "mlp.json").read_text()))
    link = resource["links"]["files"]["model.safetensors"]
    seconds = []
    for _ in range(300):
        start = time.perf_counter()
        connection.request("GET", link)
        size = drain(connection.getresponse())
        seconds.append(time.perf_counter() - start)
    milliseconds = sorted(1000 * second for second in seconds)
    print(
        f"GET of a {size / 1000:.0f} kB file: median {statistics.median(milliseconds):.2f} ms, "
        f"p99 {milliseconds[int(0.99 * len(milliseconds))]:.2f} ms"
    )


def thousand_tensors(ours: Server) -> None:
    """Time POSTs of 500 Linear layers (1,000 tensors), without statistics and with them."""
    layers = [{"type": "Linear", "in_features": 64, "out_features": 64}] * 500
    for prefer in ("return=minimal", ""):
        seconds = []
        for seed in range(ROUNDS + 1):
            spec = {
                "architecture": {"type": "Sequential", "layers": layers},
                "init": {"seed": seed},
            }
            connection = ours.connect()
            headers = {"Content-Type": "application/json", "Prefer": prefer}
            start = time.perf_counter()
            connection.request("POST", "/v1/checkpoints", json.dumps(spec), headers)
            drain(connection.getresponse())
            seconds.append(time.perf_counter() - start)
        print(
            f"POST of 1,000 tensors ({prefer or 'with statistics'}): "
            f"median {1000 * statistics.median(seconds[1:]):.0f} ms, building included"
        )


def four_gigabytes(ours: Server) -> None:
    """Measure memory while a 4 GB checkpoint is issued."""
    layer = {"type": "Linear", "in_features": 8192, "out_features": 8192, "bias": False}
    spec = {"architecture": {"type": "Sequential", "layers": [layer] * 15}}
    ours.post("/v1/checkpoints", json.loads((EXAMPLES / "mlp.json").read_text()), accept=OCTETS)
    with PeakMemory(ours.pid) as memory:
        seconds, size = ours.post("/v1/checkpoints", spec, accept=OCTETS)
    print(
        f"{size / 1e9:.2f} GB in {seconds:.2f} s ({size / seconds / 1e9:.2f} GB/s); memory: "
        f"idle {memory.idle / 1e6:.0f} MB, peak {(memory.peak - memory.idle) / 1e6:.0f} MB above"
    )


def _post(server: Server, spec: dict[str, Any]) -> dict[str, Any]:
    connection = server.connect()
    connection.request(
        "POST", "/v1/checkpoints", json.dumps(spec), {"Content-Type": "application/json"}
    )
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


if __name__ == "__main__":
    main()
