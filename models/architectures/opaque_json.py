"""JSON values that are handed on to another library as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.limits import MAX_INTEGER


def exact(value: Any, at: tuple[str | int, ...] = ()) -> Any:
    """`value` as canonical JSON has it: keys in order, 2.0 is 2, no number past 2^53 - 1.

    So a library is given the same, whether by a caller, whose order carries no meaning, or by
    the spec in a plan.
    """
    if isinstance(value, Mapping):
        return {key: exact(value[key], (*at, key)) for key in sorted(value)}
    if isinstance(value, list):
        return [exact(item, (*at, index)) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise PydanticCustomError(
            "too_large", "expected a number up to 2^53 - 1 in size", {"at": list(at)}
        )
    return value
