"""JSON values that are passed on to another library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from seedpoint.models.architectures.limits import MAX_INTEGER


def exact(value: Any, at: tuple[str | int, ...] = ()) -> Any:
    """Return `value` in canonical form: keys in order, 2.0 as 2, no number beyond 2^53 - 1.

    The library thus gets the same value from a caller, whose order of keys carries no meaning, and
    from the spec in a plan.
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
