"""Modules that workers need are imported before the workers are forked."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import importlib, sys
from pathlib import Path
from seedpoint.service.workers.forkserver import PRELOAD
for name in PRELOAD:
    importlib.import_module(name)
from seedpoint.service.planning.task import PlanBody, Planner
from seedpoint.service.storage.directory import DirectoryStore
run = Planner(DirectoryStore(Path("unused")), max_materialized_bytes=0).task()
run.warm_up()
before = set(sys.modules)
for body in sys.argv[1:]:
    run.run(PlanBody(body.encode()))
print(*sorted(set(sys.modules) - before))
"""


def test_no_layer_makes_a_worker_import_torch_s_compiler() -> None:
    lazy = [
        {"type": "LazyConv2d", "out_channels": 4, "kernel_size": 3},
        {"type": "LazyBatchNorm2d"},
        {"type": "Flatten"},
        {"type": "Linear", "in_features": 196, "out_features": 2},
        {"type": "LazyLinear", "out_features": 3},
    ]
    architectures = [
        {"type": "Sequential", "input_shape": [1, 3, 9, 9], "layers": lazy},
        {"type": "Embedding", "num_embeddings": 4, "embedding_dim": 3},
        {"type": "LSTM", "input_size": 3, "hidden_size": 4},
    ]
    bodies = [json.dumps({"architecture": architecture}) for architecture in architectures]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *bodies], check=True, capture_output=True, text=True
    )
    late = done.stdout.split()
    assert not [name for name in late if name.startswith(("torch._dynamo", "torch._inductor"))]
    assert len(late) < 20, late
