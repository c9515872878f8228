"""Several processes that answer at one address and share one store.

uvicorn's supervisor starts them, replaces those that die, and ends them all when it is told
to. Each has the parts of a service of its own: threads, worker processes, caches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from service.planning import forkserver
from service.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

# The supervisor asks every process now and again whether it lives. One that has just been
# started imports for seconds before it can say so.
HEALTH_SECONDS = 60
_VARIABLE = "SEEDPOINT_OF_SUPERVISOR"


def serve(settings: Settings, **config: Any) -> None:
    """Runs `settings.workers` processes until told to stop; `config` is each server's.

    A process is started afresh, so it is given the settings by its environment.
    """
    os.environ[_VARIABLE] = settings.model_dump_json()
    uvicorn.run(
        "service.fleet:application",
        factory=True,
        workers=settings.workers,
        timeout_worker_healthcheck=HEALTH_SECONDS,
        **config,
    )


def application() -> FastAPI:
    """The application of one of the processes, whose number is in its log lines."""
    forkserver.end_with_parent()
    structlog.contextvars.bind_contextvars(process=os.getpid())
    from service.app import ready_app

    return ready_app(Settings.model_validate_json(os.environ[_VARIABLE]))
