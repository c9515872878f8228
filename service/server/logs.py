"""Log configuration for people or machines, shared by Seedpoint and uvicorn."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from seedpoint.service.http import request_ids


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Send every log line of this process to standard error in one format."""
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
                exception_formatter=structlog.dev.plain_traceback,  # Without local variables.
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
    # Log lines show no code location, thread or process, so skip looking these up.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _not_an_error(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Rename uvicorn's general logger `uvicorn.error` to `uvicorn`."""
    if line.get("logger") == "uvicorn.error":
        line["logger"] = "uvicorn"
    return line
