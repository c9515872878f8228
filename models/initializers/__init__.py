"""The catalogue of initializers, resolved against one tensor to a program's source.

Names, arguments and defaults are PyTorch's where `torch.nn.init` has them. Host-side
scalars are computed in binary64 exactly as PyTorch's own Python code computes them,
so that under generator `torch` they give its bits.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from seedpoint.models.initializers.base import ArgumentError, Gain, Initializer, Target
from seedpoint.models.initializers.basic import (
    Constant,
    Dirac,
    Eye,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncNormal,
    Uniform,
    Zeros,
)
from seedpoint.models.initializers.fan_scaled import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
)
from seedpoint.models.initializers.own_and_values import Own, Values

__all__ = [
    "CATALOGUE",
    "ArgumentError",
    "Gain",
    "Initializer",
    "InitializerSpec",
    "Own",
    "Target",
    "catalogue",
]

InitializerSpec = Annotated[
    Uniform
    | Normal
    | TruncNormal
    | Constant
    | Ones
    | Zeros
    | Eye
    | Dirac
    | XavierUniform
    | XavierNormal
    | KaimingUniform
    | KaimingNormal
    | Orthogonal
    | Sparse
    | VarianceScaling
    | LecunNormal
    | LecunUniform
    | GlorotNormal
    | GlorotUniform
    | HeNormal
    | HeUniform
    | Values
    | Own,
    Field(discriminator="type"),
]

CATALOGUE: dict[str, type[Initializer]] = {
    get_args(cls.model_fields["type"].annotation)[0]: cls
    for cls in get_args(get_args(InitializerSpec)[0])
}

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "constant": {"val": 0.5},
    "sparse": {"sparsity": 0.5},
    "values": {"values": [[0.5, -0.5], [0.25, 1.0]]},
}
_SHAPES: dict[str, list[int]] = {"dirac": [8, 4, 3], "values": [2, 2]}


def catalogue() -> list[dict[str, Any]]:
    """Every initializer: type, summary, paper, JSON Schema, an example and a spec that work."""
    return [
        {
            "type": name,
            "summary": (cls.__doc__ or "").strip().splitlines()[0],
            "paper": cls.paper,
            "schema": cls.model_json_schema(),
            "example": {"type": name, **_ARGUMENTS.get(name, {})},
            "spec": _spec(name),
        }
        for name, cls in CATALOGUE.items()
    ]


def _spec(name: str) -> dict[str, Any]:
    """A whole spec with one initializer: of a layer's weight, as `own` needs a layer."""
    tensor = {"name": "weight", "shape": _SHAPES.get(name, [16, 8])}
    layer = {"type": "Linear", "in_features": 8, "out_features": 16, "bias": False}
    listed = {"type": "tensors", "tensors": [tensor]}
    initializer = {"type": name, **_ARGUMENTS.get(name, {})}
    return {
        "architecture": layer if name == "own" else listed,
        "init": {"seed": 42, "rules": [{"match": {"name": "weight"}, "initializer": initializer}]},
    }
