"""Whether an address can be listened on, asked before anything is started."""

from __future__ import annotations

import os
import socket


def check_free(host: str, port: int) -> None:
    """Binds every address of `host`, as the server will, and lets go of it; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":  # Elsewhere it would share the port with who has it.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
