"""The server that runs the application: in this process, or in several."""

from __future__ import annotations

from typing import Any

import uvicorn

from service import fleet, logs
from service.app import ready_app
from service.settings import Settings
from service.storage.store import Store
from service.streaming.connections import Connection


def serve(settings: Settings) -> None:
    """Runs the service until it is told to stop (SIGINT, SIGTERM)."""
    config: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": Connection,
        "access_log": False,  # `observe` writes it.
        "log_config": None,
        "timeout_graceful_shutdown": settings.shutdown_seconds,
    }
    if settings.workers == 1:
        uvicorn.run(ready_app(settings), **config)
        return
    logs.configure(settings.log_format, settings.log_level)
    Store(settings.store).check_usable()  # Before there are processes that would all fail.
    fleet.serve(settings, **config)
