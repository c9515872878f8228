"""Log lines for people or for machines, ours and the server's alike."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from seedpoint.service.http import request_ids


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Sends every log line of this process to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        request_ids.add_to_line,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _not_an_error,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # Without values of locals.
            )
        ]
    )
    handler = logging.StreamHandler()
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[remove, *renderers]
        )
    )
    # No line says where in the code or in which thread it was written, so nobody looks it up.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _not_an_error(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Uvicorn's general logger under its own name: `uvicorn.error` is what it calls it."""
    if line.get("logger") == "uvicorn.error":
        line["logger"] = "uvicorn"
    return line
