"""Warnings of norms and singular vectors that describe values which a rule replaced."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec

ZEROS = {"type": "zeros"}


def warnings(parametrization: str, *names: str, generator: str = "philox-v1") -> list[str]:
    linear = {"name": "fc", "type": "Linear", "in_features": 4, "out_features": 3}
    layer: dict[str, Any] = {**linear, "parametrizations": {"weight": parametrization}}
    rules = [{"match": {"name": name}, "initializer": ZEROS} for name in names]
    spec = parse_spec(
        {
            "architecture": {"type": "Sequential", "layers": [layer]},
            "init": {"generator": generator, "rules": rules},
        }
    )
    return list(make_plan(spec, platform=platform()).plan.warnings)


@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
def test_norms_of_a_replaced_tensor_are_told(generator: str) -> None:
    [warning] = warnings("weight_norm", "**.original1", generator=generator)
    assert str(warning) == (
        "SP208: "
        "init.rules.0 fills 'fc.parametrizations.weight.original1', but "
        "'fc.parametrizations.weight.original0' keeps the norms of its own init; "
        'to follow, fill it by {"type": "norms", "of": "fc.parametrizations.weight.original1"}'
    )


def test_singular_vectors_of_a_replaced_tensor_are_told() -> None:
    found = warnings("spectral_norm", "fc.bias", "**.original")
    assert len(found) == 2
    assert all("init.rules.1 fills" in str(warning) for warning in found)


@pytest.mark.parametrize("names", [(), ("fc.bias",), ("**.original0",), ("**.original*",)])
def test_norms_that_hold_are_not(names: tuple[str, ...]) -> None:
    assert warnings("weight_norm", *names) == []
