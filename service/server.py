"""The service as a process, or as several."""

from __future__ import annotations

from service import fleet, logs
from service.settings import Settings


def serve(settings: Settings) -> None:
    """Runs the service until it is told to stop (SIGINT, SIGTERM).

    Ends the process with `fleet.STARTUP_FAILURE` when it does not start.
    """
    if settings.workers > 1:
        logs.configure(settings.log_format, settings.log_level)
        fleet.serve(settings)
        return
    from service.app import ready_app  # A supervisor needs none of it.
    from service.streaming.server import Server, run

    run(Server(ready_app(settings), settings))
