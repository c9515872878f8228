"""Specs of whole tensors, and what a service has of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seedpoint.models.files.layout import Layout, layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.whole_tensors import Raw, WholeTensor
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.workers.pool import Pool
from tests.support.running import Running


def orthogonal(seed: int = 0, rows: int = 300, columns: int = 200) -> dict[str, Any]:
    layer = {"type": "Linear", "in_features": columns, "out_features": rows}
    rule = {"match": {"parameter": "weight"}, "initializer": {"type": "orthogonal"}}
    return {"architecture": layer, "init": {"seed": seed, "rules": [rule]}}


def sparse(seed: int = 0) -> dict[str, Any]:
    spec = orthogonal(seed)
    spec["init"]["rules"][0]["initializer"] = {"type": "sparse", "sparsity": 0.3}
    return spec


def link(service: Running, spec: dict[str, Any]) -> str:
    """The path of the file of `spec`."""
    return str(service.issue(spec).json()["links"]["files"]["model.safetensors"])


def expected(spec: dict[str, Any]) -> bytes:
    """The file, by no service."""
    planned = make_plan(parse_spec(spec))
    evaluator = Evaluator(planned.plan, planned.blobs)
    laid: Layout = layout(planned.plan)
    file = laid.files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, out)
    return out.tobytes()


def made(service: Running) -> float:
    """The number of whole tensors that the workers of `service` were asked for."""
    lines = service.http.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[1]) for line in lines if line.startswith("seedpoint_wholes_total")
    )


def stored(service: Running) -> list[Path]:
    return list(service.state.settings.store.glob("whole_tensors/*/*.bin"))


def workers_of(service: Running) -> Pool[WholeTensor, Raw | None]:
    """The workers that make wholes."""
    whole_tensors = service.state.engine.whole_tensors
    assert whole_tensors is not None
    return whole_tensors.pool


def waiting_for(service: Running) -> float:
    """The number of whole tensors that are being computed or wait."""
    return service.metric("seedpoint_wholes_waiting")
