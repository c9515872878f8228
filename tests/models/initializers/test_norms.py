"""Norms of another tensor, as weight normalization starts with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.issued import issued

ORIGINAL = "parametrizations.weight.original"
LAYERS = [
    {"type": "Linear", "in_features": 300, "out_features": 500},
    {"type": "Conv2d", "in_channels": 5, "out_channels": 6, "kernel_size": 3},
    {"type": "ConvTranspose1d", "in_channels": 4, "out_channels": 3, "kernel_size": 2},
]


def layers_of(dim: int | None) -> list[dict[str, Any]]:
    """Return the layers whose weights have an axis `dim`."""
    return LAYERS[1:] if dim == 2 else LAYERS


def spec(dim: int | None, generator: str = "philox-v1", **rule: Any) -> dict[str, Any]:
    weight = {"weight": {"type": "weight_norm", "dim": dim}}
    layers = [{**layer, "parametrizations": weight} for layer in layers_of(dim)]
    norms = {"type": "norms", "of": f"{{n}}.{ORIGINAL}1", "dim": dim}
    rules = [
        {"match": {"name": "**.original1"}, "initializer": {"type": "normal", "std": 0.05}, **rule},
        {"match": {"name": f"{{n}}.{ORIGINAL}0"}, "initializer": norms},
    ]
    init = {"generator": generator, "rules": rules}
    return {"architecture": {"type": "Sequential", "layers": layers}, "init": init}


@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_a_normalized_weight_is_what_its_rule_draws(dim: int | None, generator: str) -> None:
    found = issued(spec(dim, generator))
    for number in range(len(layers_of(dim))):
        magnitude = found[f"{number}.{ORIGINAL}0"]
        direction = found[f"{number}.{ORIGINAL}1"]
        exact = torch.norm_except_dim(direction.double(), 2, -1 if dim is None else dim)
        assert magnitude.shape == exact.shape
        assert torch.allclose(magnitude.double(), exact, rtol=1e-6, atol=0)
        weight = torch._weight_norm(direction, magnitude, -1 if dim is None else dim)
        assert torch.allclose(weight, direction, rtol=1e-6)
        assert 0.02 < direction.std() < 0.08


def test_transforms_and_parts_of_the_other_tensor_count() -> None:
    parts = {"axis": 0, "parts": [{"size": 200}, {"size": 300}]}
    document = spec(0, splits=parts, transforms=[{"type": "scale", "value": 3}])
    document["architecture"]["layers"] = document["architecture"]["layers"][:1]
    found = issued(document)
    exact = torch.norm_except_dim(found[f"0.{ORIGINAL}1"].double(), 2, 0)
    assert torch.allclose(found[f"0.{ORIGINAL}0"].double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("initializer", "path", "words"),
    [
        ({"of": "directoin"}, "of", "no tensor 'directoin'; nearest: 'direction'"),
        ({"of": "direction", "dim": 1}, "of", "have shape [1, 16]; this tensor's is [8, 1]"),
        ({"of": "direction", "dim": 2}, "dim", "axis 2 is outside shape [8, 16]"),
        ({"of": "count"}, "of", "norms need floating tensors, not int64"),
        ({"of": "weight"}, "of", "this tensor itself"),
    ],
)
def test_what_has_no_such_norms_is_told(initializer: dict[str, Any], path: str, words: str) -> None:
    tensors = [
        {"name": "weight", "shape": [8, 1]},
        {"name": "direction", "shape": [8, 16]},
        {"name": "count", "shape": [8], "dtype": "int64"},
    ]
    rules = [
        {"match": {"name": "weight"}, "initializer": {"type": "norms", **initializer}},
        {"match": {"name": "direction"}, "initializer": {"type": "normal"}},
        {"match": {"name": "count"}, "initializer": {"type": "zeros"}},
    ]
    document = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": rules}}
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(document))
    (fault,) = caught.value.faults
    assert fault.path == f"init.rules.0.initializer.{path}"
    assert words in fault.message
