"""Catalogue of initializers, each resolved against one tensor to a program's source.

Names, arguments and defaults are PyTorch's where `torch.nn.init` has them. Host-side scalars are
computed in binary64 exactly as PyTorch's own Python code computes them, so that they give its bits
under generator `torch`.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from seedpoint.models.initializers.base import ArgumentError, Gain, Initializer, Target
from seedpoint.models.initializers.basic import (
    Constant,
    Dirac,
    Eye,
    Ones,
    Orthogonal,
    Sparse,
    Zeros,
)
from seedpoint.models.initializers.combined import Copy, Sum
from seedpoint.models.initializers.drawn import Drawn
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
from seedpoint.models.initializers.norms import Norms
from seedpoint.models.initializers.own_and_values import Own, Values
from seedpoint.models.initializers.positional import Positional

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
    Drawn
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
    | Positional
    | Sum
    | Copy
    | Norms
    | Values
    | Own,
    Field(discriminator="type"),
]

Sum.model_rebuild(_types_namespace={"InitializerSpec": InitializerSpec})

CATALOGUE: dict[str, type[Initializer]] = {
    get_args(cls.model_fields["type"].annotation)[0]: cls
    for cls in get_args(get_args(InitializerSpec)[0])
}


def catalogue() -> list[dict[str, Any]]:
    """Return an entry for every initializer, with its JSON Schema and a working example and spec.

    The keys are `type`, `summary`, `paper`, `schema`, `example` and `spec`.
    """
    return [
        {
            "type": name,
            "summary": (cls.__doc__ or "").strip().splitlines()[0],
            "paper": cls.paper,
            "schema": cls.model_json_schema(),
            "example": {"type": name, **cls.example},
            "spec": _spec(name, cls),
        }
        for name, cls in CATALOGUE.items()
    ]


def _spec(name: str, cls: type[Initializer]) -> dict[str, Any]:
    """Return a complete spec that initializes one weight; for `own` the weight is a layer's."""
    tensor = {"name": "weight", "shape": list(cls.example_shape)}
    layer = {"type": "Linear", "in_features": 8, "out_features": 16, "bias": False}
    others = [{"name": other, "shape": shape} for other, (shape, _) in cls.example_others.items()]
    listed = {"type": "tensors", "tensors": [tensor, *others]}
    rules = [
        {"match": {"name": filled}, "initializer": initializer}
        for filled, initializer in (
            ("weight", {"type": name, **cls.example}),
            *((other, initializer) for other, (_, initializer) in cls.example_others.items()),
        )
    ]
    return {
        "architecture": layer if name == "own" else listed,
        "init": {"seed": 42, "rules": rules},
    }
