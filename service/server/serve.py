"""Entry point of the service, as one process or several."""

from __future__ import annotations

from seedpoint.service.server import logs, multiprocess
from seedpoint.service.settings import Settings


def serve(settings: Settings) -> None:
    """Run the service until SIGINT or SIGTERM.

    Exits with `multiprocess.STARTUP_FAILURE` if the service does not start.
    """
    if settings.workers > 1:
        logs.configure(settings.log_format, settings.log_level)
        multiprocess.serve(settings)
        return
    # Imported here: a supervisor does not need the application.
    from seedpoint.service.server.uvicorn_server import Server, run

    run(Server.ready(settings))
