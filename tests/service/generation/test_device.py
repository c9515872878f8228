"""A service whose elements are generated on a device, by the implementation that a GPU runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.service.checkpoints import registry
from tests.support.running import Running

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]

SPEC: dict[str, Any] = {
    "architecture": {
        "type": "Sequential",
        "layers": [
            {"type": "Linear", "in_features": 700, "out_features": 900},
            {"type": "Conv2d", "in_channels": 8, "out_channels": 16, "kernel_size": 3},
            {"type": "LayerNorm", "normalized_shape": 64},
        ],
    },
    "init": {
        "seed": 5,
        "rules": [
            {
                "match": {"module": "Conv2d", "parameter": "weight"},
                "initializer": {"type": "trunc_normal", "std": 0.02},
                "transforms": [{"type": "hard_threshold", "value": 0.01}],
            }
        ],
    },
    "dtype": {"default": "bfloat16", "rules": [{"match": {"ndim": 4}, "dtype": "float32"}]},
}


@pytest.mark.parametrize("device", DEVICES)
def test_files_ranges_and_statistics_do_not_depend_on_the_device(
    start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    def issued(store: str) -> tuple[dict[str, Any], bytes, bytes]:
        service = start(store=tmp_path / store)
        resource = service.http.post("/v1/checkpoints", json=SPEC).json()
        (link,) = resource["links"]["files"].values()
        part = service.http.get(link, headers={"Range": "bytes=333333-777776"})
        return resource, service.http.get(link).content, part.content

    expected = issued("kernels")
    made: list[str] = []

    def draws_on(_: str) -> ReferenceDraws:
        made.append(device)
        return ReferenceDraws(torch.device(device))

    monkeypatch.setattr(registry, "draws_on", draws_on)
    found = issued("device")
    assert made == [device]
    assert found[1:] == expected[1:]
    assert found[2] == found[1][333333:777777]
    assert found[0] == expected[0]
