"""Canonical JSON: one text for each value (RFC 8785)."""

from __future__ import annotations

from functools import cached_property
from json.encoder import encode_basestring
from typing import Any

import rfc8785

MAX_INTEGER = 2**53 - 1  # largest exact integer in binary64 (section 3.2.2.3)


class Serialized(dict[str, Any]):
    """JSON object with cached canonical text, for reuse in many documents.

    It must not change once it is in use.
    """

    @cached_property
    def text(self) -> str:
        """Canonical text of the object."""
        return _object(self)


class SerializedList(list[Any]):
    """JSON array with cached canonical text; see `Serialized`."""

    @cached_property
    def text(self) -> str:
        """Canonical text of the array."""
        return _array(self)


def text(value: Any) -> str:
    """Return the canonical text of a JSON value.

    The library formats numbers. This module writes the rest, because it reuses the text of a
    `Serialized` value and because the standard library writes strings in half the time.

    Raises:
        ValueError: Canonical JSON cannot hold a number in the value.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, Serialized | SerializedList):
        return value.text
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list | tuple):
        return _array(value)
    if type(value) is int and abs(value) <= MAX_INTEGER:
        return str(value)
    return rfc8785.dumps(value).decode()


def representable(value: Any) -> Any:
    """Return `value` with strings for numbers that RFC 8785 loses.

    These are negative zero and integers past 2^53 - 1.
    """
    if isinstance(value, dict):
        return {key: representable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [representable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return str(value)
    return "-0.0" if isinstance(value, float) and str(value) == "-0.0" else value


def restored(value: Any) -> Any:
    """Restore a value read from canonical text, in which a long integer stands for a float."""
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return float(value)
    return value


def _array(value: list[Any] | tuple[Any, ...]) -> str:
    return f"[{','.join(map(text, value))}]"


def _object(value: dict[str, Any]) -> str:
    members = ",".join(f"{encode_basestring(key)}:{text(value[key])}" for key in _sorted(value))
    return f"{{{members}}}"


def _sorted(keys: dict[str, Any]) -> list[str]:
    """Sort keys by UTF-16 code units (section 3.2.3); for ASCII this is code point order."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))
