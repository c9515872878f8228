"""The service as a process, or as several."""

from __future__ import annotations

from seedpoint.service.server import logs, multiprocess
from seedpoint.service.settings import Settings


def serve(settings: Settings) -> None:
    """Runs the service until it is told to stop (SIGINT, SIGTERM).

    Ends the process with `fleet.STARTUP_FAILURE` when it does not start.
    """
    if settings.workers > 1:
        logs.configure(settings.log_format, settings.log_level)
        multiprocess.serve(settings)
        return
    from seedpoint.service.app import ready_app  # A supervisor needs none of it.
    from seedpoint.service.server.uvicorn_server import Server, run

    run(Server(ready_app(settings), settings))
