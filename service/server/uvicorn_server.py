"""uvicorn's server with our own connections and listener."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from seedpoint.service.app import create_app
from seedpoint.service.generation.whole_tensors import WORKERS as WHOLE_WORKERS
from seedpoint.service.http.connection import Connection
from seedpoint.service.http.stalled_clients import Stalls
from seedpoint.service.server import logs
from seedpoint.service.server.addresses import bound, tell_started
from seedpoint.service.server.file_descriptors import for_connections, reserve
from seedpoint.service.server.listener import BACKLOG, Listener
from seedpoint.service.settings import Settings

LOOK_SECONDS = 1.0  # Interval between checks for stalled clients.

logger = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """uvicorn's server with limits on connections and on the time that a client reads nothing."""

    servers: list[Any]
    on_second: Callable[[], object] = staticmethod(lambda: None)
    """Callback that the event loop runs about once a second while the service lives."""

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(_config(app, settings))
        self._settings = settings
        self._stalls = Stalls(settings.write_timeout_seconds)

    @classmethod
    def ready(cls, settings: Settings) -> Server:
        """Return the service's server for a process of its own, which gets its logs."""
        logs.configure(settings.log_format, settings.log_level)
        app = create_app(settings)
        gc.freeze()  # A million permanent objects, whose traversal takes milliseconds each time.
        return cls(app, settings)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start up like uvicorn, with our own listener."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        try:
            listener = self._listener(sockets or bound(self.config.host, self.config.port))
        except OSError as error:
            logger.error(error)
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self.servers = [listener]
        if sockets is None:
            tell_started(listener.sockets)
        self._minding = asyncio.create_task(self._mind())
        self.started = True

    async def _mind(self) -> None:
        """Cut stalled clients and call `on_second` once a second, even during shutdown."""
        while True:
            try:
                connections: set[Any] = self.server_state.connections
                self._stalls.look(list(connections))
                self.on_second()
            except Exception:
                logger.exception("the check for stalled clients failed")
            await asyncio.sleep(LOOK_SECONDS)

    def _listener(self, sockets: list[socket]) -> Listener:
        settings = self._settings
        workers = settings.build_workers + settings.large_build_workers + WHOLE_WORKERS
        reserved = reserve(settings.threads, workers)
        most = for_connections(settings.max_connections, reserved)
        listener = Listener(sockets, self._connection, most=most)
        listener.start()
        return listener

    def _connection(self, closed: Callable[[], None]) -> Connection:
        connection = Connection(self.config, self.server_state, self.lifespan.state)
        connection.closed = closed
        return connection


def run(server: Server, sockets: list[socket] | None = None) -> None:
    """Run `server` in this process until a signal stops it.

    Exits with STARTUP_FAILURE if it does not start.
    """
    with suppress(KeyboardInterrupt):  # uvicorn raises SIGINT again after a clean shutdown.
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _config(app: Any, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Connection,
        access_log=False,  # `access_log.Observed` writes it.
        proxy_headers=False,  # `forwarded.Forwarded` evaluates them.
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
