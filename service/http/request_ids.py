"""Request ids, which appear in responses, log lines and problems."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextvars import ContextVar

import structlog

FIELD = b"x-request-id"
_HARMLESS = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the current request; None outside a request."""


def given_or_new(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's `X-Request-Id` if it is safe in a log and a header, else a new id."""
    for name, value in headers:
        if name == FIELD and _HARMLESS.fullmatch(value):
            return value.decode()
    return os.urandom(16).hex()


def add_to_line(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the current request's id to a log line."""
    if (id_ := current.get()) is not None:
        line["request_id"] = id_
    return line
