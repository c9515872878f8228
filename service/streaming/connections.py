"""The server's end of a connection: uvicorn's HTTP, with socket buffers that fit the distance."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

NEAR_MICROSECONDS = 200
NEAR_BUFFER_BYTES = 512 << 10
_RTT_OFFSET = 68  # Of tcpi_rtt in `struct tcp_info` (linux/tcp.h), microseconds.


class Connection(HttpToolsProtocol):
    """Keeps little in flight to clients on the same host or next to it.

    The kernel lets a send buffer grow to megabytes, which a near client never needs, and
    which then are out of the CPU's cache when they are copied to it. Twice 512 KiB (the
    kernel doubles what it is told) in 200 microseconds are 5 GB/s. Clients further away
    have the kernel's own buffers, which grow with the distance.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        elapsed = round_trip_microseconds(connected)
        if elapsed is not None and elapsed < NEAR_MICROSECONDS:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NEAR_BUFFER_BYTES)


def round_trip_microseconds(connected: socket.socket) -> int | None:
    """As the kernel has measured it so far (at least in the handshake); None if it does not tell.

    Only Linux does, and only of TCP.
    """
    with suppress(AttributeError, OSError, struct.error):
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int(struct.unpack_from("I", info, _RTT_OFFSET)[0])
    return None
