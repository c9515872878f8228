"""Canonical JSON: one text for one value (RFC 8785)."""

from __future__ import annotations

from functools import cached_property
from json.encoder import encode_basestring
from typing import Any

import rfc8785

MAX_INTEGER = 2**53 - 1  # Section 3.2.2.3: what a binary64 number holds exactly.


class Known(dict[str, Any]):
    """A JSON object whose canonical text is made once, however many documents hold it.

    Not to be changed once it is in use.
    """

    @cached_property
    def text(self) -> str:
        """The object's canonical text."""
        return _object(self)


class KnownList(list[Any]):
    """A JSON array whose canonical text is made once; see `Known`."""

    @cached_property
    def text(self) -> str:
        """The array's canonical text."""
        return _array(self)


def text(value: Any) -> str:
    """The canonical text of a JSON value; ValueError for numbers that it cannot hold.

    Numbers are the library's own; the rest is here because what is `Known` need not be
    written again, and strings by the standard library take half the time.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, Known | KnownList):
        return value.text
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list | tuple):
        return _array(value)
    if type(value) is int and abs(value) <= MAX_INTEGER:
        return str(value)
    return rfc8785.dumps(value).decode()


def representable(value: Any) -> Any:
    """`value` with what RFC 8785 loses as strings: negative zero, integers past 2^53 - 1."""
    if isinstance(value, dict):
        return {key: representable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [representable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return str(value)
    return "-0.0" if isinstance(value, float) and str(value) == "-0.0" else value


def restored(value: Any) -> Any:
    """What was read from canonical text as it was written: there, a long integer is a float."""
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
    """Section 3.2.3: by UTF-16 code units, which for ASCII is the order of code points."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))
