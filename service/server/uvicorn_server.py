"""uvicorn's server, with our own connections."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from seedpoint.service.generation.whole_tensors import WORKERS as WHOLE_WORKERS
from seedpoint.service.http.connection import Connection
from seedpoint.service.http.stalled_clients import Stalls
from seedpoint.service.server.addresses import bound, tell_started
from seedpoint.service.server.file_descriptors import for_connections, reserve
from seedpoint.service.server.listener import BACKLOG, Listener
from seedpoint.service.settings import Settings

LOOK_SECONDS = 1.0

logger = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """uvicorn's server, with bounds on connections and on how long a client may read nothing."""

    servers: list[Any]
    on_second: Callable[[], object] = staticmethod(lambda: None)
    """Called about once a second by the event loop, from the start of the service to its end."""

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(_config(app, settings))
        self._settings = settings
        self._stalls = Stalls(settings.write_timeout_seconds)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """As uvicorn's, but its own listener accepts connections."""
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
        """What is done once a second, also while the service ends."""
        while True:
            try:
                connections: set[Any] = self.server_state.connections
                self._stalls.look(list(connections))
                self.on_second()
            except Exception:
                logger.exception("connections were not looked after")
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
    """Runs `server` in this process until it is told to stop.

    Ends the process with STARTUP_FAILURE when it does not start.
    """
    with suppress(KeyboardInterrupt):  # SIGINT, which it raises again once it has ended well.
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
        access_log=False,  # `observe` writes it.
        proxy_headers=False,  # `forwarded` heeds them.
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
