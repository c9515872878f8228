"""Listening sockets of an address."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack

logger = logging.getLogger("uvicorn.error")


def bound(host: str, port: int) -> list[socket.socket]:
    """Return a socket bound to each address of `host`, not yet listening.

    Raises: OSError.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as undone:
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = undone.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":  # Elsewhere it lets two processes share the port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            sockets.append(listener)
        undone.pop_all()
        return sockets


def check_free(host: str, port: int) -> None:
    """Check that every address of `host` can be bound, as the server will do.

    Raises: OSError.
    """
    for listener in bound(host, port):
        listener.close()


def tell_started(sockets: Iterable[socket.socket]) -> None:
    """Log the URLs at which the service listens."""
    for listener in sockets:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        logger.info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", shown, port)
