"""Benchmark of planning large models by POST of a config.

python -m benchmarks.planning
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import closing
from typing import Any

from benchmarks.processes import PeakMemory, Server, seedpoint

PRESETS = ("gpt2", "llama-3-8b", "llama-3-70b", "llama-3-405b", "deepseek-v3")
WIDTHS = (256, 1024, 4096, 16384)
LAYERS = (8, 32, 128)
HEADERS = {"Content-Type": "application/json", "Prefer": "return=minimal"}


def main() -> None:
    for name in PRESETS:
        first_of(name)
    with seedpoint("--build-workers", "1") as server:
        post(server, preset("llama-tiny"))
        by_width(server)
        by_layers(server)


def first_of(name: str) -> None:
    """Time the first POST to a fresh service, then other seeds, and measure memory."""
    with seedpoint("--build-workers", "1") as server:
        post(server, mlp())
        with PeakMemory(server.pid) as memory:
            first, size = post(server, preset(name))
            seeds = [post(server, preset(name, seed))[0] for seed in range(1, 6)]
        above = (memory.peak - memory.idle) >> 20
        another = statistics.median(seeds)
        print(
            f"{name}, {size / 1e9:.1f} GB: planned by POST in {1e3 * first:.0f} ms, "
            f"another seed in {1e3 * another:.0f} ms; memory {above} MB above idle"
        )


def by_width(server: Server) -> None:
    """Time models with more parameters, but constant tensors and programs."""
    shown = []
    for width in WIDTHS:
        seconds, size = new(server, hidden_size=width, intermediate_size=4 * width)
        shown.append(f"{size / 1e9:.1f} GB {1e3 * seconds:.0f} ms")
    print(f"Llama of 32 layers by width: {', '.join(shown)}")


def by_layers(server: Server) -> None:
    """Time models with more tensors, but constant distinct programs."""
    shown = []
    for layers in LAYERS:
        seconds, _ = new(server, num_hidden_layers=layers)
        shown.append(f"{layers} layers {1e3 * seconds:.0f} ms")
    print(f"Llama by layers: {', '.join(shown)}")


def new(server: Server, **fields: int) -> tuple[float, int]:
    """Return the median seconds of three POSTs of new configs, and the checkpoint's bytes."""
    found = [post(server, llama(max_position_embeddings=2048 + n, **fields)) for n in range(3)]
    return statistics.median(seconds for seconds, _ in found), found[0][1]


def mlp() -> dict[str, Any]:
    return {"architecture": {"type": "Linear", "in_features": 8, "out_features": 8}}


def preset(name: str, seed: int = 0) -> dict[str, Any]:
    return {"architecture": {"type": "preset", "name": name}, "init": {"seed": seed}}


def llama(**fields: int) -> dict[str, Any]:
    config = {"model_type": "llama", "num_attention_heads": 8, "num_hidden_layers": 32} | fields
    return {"architecture": {"type": "transformers", "config": config}}


def post(server: Server, spec: dict[str, Any]) -> tuple[float, int]:
    """Return the seconds of a POST and the bytes of the checkpoint."""
    with closing(server.connect()) as connection:
        start = time.perf_counter()
        connection.request("POST", "/v1/checkpoints", json.dumps(spec), HEADERS)
        document = read(connection.getresponse())
        return time.perf_counter() - start, document["totals"]["bytes"]


def read(response: http.client.HTTPResponse) -> dict[str, Any]:
    body = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{response.status}: {body[:500]!r}")
    document: dict[str, Any] = json.loads(body)
    return document


if __name__ == "__main__":
    main()
