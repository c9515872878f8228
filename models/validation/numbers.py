"""Numbers as callers write them: JSON numbers or arithmetic expressions."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, PlainValidator, WithJsonSchema

from seedpoint.models.validation import expressions


class Schema(BaseModel):
    """Immutable part of a spec; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _number(value: Any) -> int | float | str:
    if isinstance(value, str):
        expressions.parse(value)
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number or an arithmetic expression")
    if not (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1023):
        raise ValueError("must be a finite number")
    return value


Number = Annotated[
    int | float | str,
    PlainValidator(_number),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number"}, {"type": "string"}],
            "description": "A finite number, or an arithmetic expression over fan_in, fan_out, "
            "numel, ndim, captured names and init.constants.",
            "examples": [0.02, "0.02 / sqrt(2 * n_layer)"],
        }
    ),
]


def tagged(one: str, other: str, is_other: type | tuple[type, ...]) -> Discriminator:
    """Return a discriminator of two forms of a field, so that errors concern only one of them.

    Tags are written `<tag>`; models/validation/faults.py leaves these elements out of paths.
    """
    return Discriminator(lambda value: other if isinstance(value, is_other) else one)
