"""JSON values that are handed on to another library as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from models.architectures.limits import MAX_INTEGER


def exact(value: Any, at: tuple[str | int, ...] = ()) -> Any:
    """`value` with numbers as canonical JSON has them: 2.0 is 2, and none is past 2^53 - 1."""
    if isinstance(value, Mapping):
        return {key: exact(item, (*at, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item, (*at, index)) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise PydanticCustomError(
            "too_large", "expected a number up to 2^53 - 1 in size", {"at": list(at)}
        )
    return value
