"""Structured loggers: structlog's with the server, the standard library's without."""

from __future__ import annotations

import logging
from typing import Any


def get_logger(name: str) -> Any:
    """Return the logger `name`, whose methods take a message and fields by keyword."""
    try:
        import structlog
    except ModuleNotFoundError:
        return _PlainLogger(logging.getLogger(name))
    return structlog.get_logger(name)


class _PlainLogger:
    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def info(self, message: str, **fields: object) -> None:
        self._logger.info("%s %s", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._logger.warning("%s %s", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._logger.error("%s %s", message, fields)

    def exception(self, message: str, **fields: object) -> None:
        self._logger.exception("%s %s", message, fields)  # noqa: LOG004 - called in a handler
