"""Server connection: uvicorn's HTTP with limits, and send buffers that suit the distance."""

from __future__ import annotations

import asyncio
import http
import re
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from seedpoint.service import errors
from seedpoint.service.http import problems, request_ids
from seedpoint.service.http.parser import Parser
from seedpoint.service.http.stalled_clients import Progress
from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.connections")

MAX_HEAD_BYTES = 64 << 10
PIECE_BYTES = 8 << 10  # Parsed at once; the limit of a head is exact to this.
LINE_BYTES = len("  HTTP/1.1\r\n\r\n")  # Bytes of a head beside method, target and fields.
FIELD_BYTES = len(": \r\n")
HEAD_SECONDS = 60.0  # Time for a head, from its first byte or the connection's begin.
MAX_WAITING = 1000  # Limit of pipelined requests, each of which takes kilobytes.
LINGER_SECONDS = 2.0  # Time for a refused client to read the response while it still sends.
LINGER_BYTES = 16 << 20  # Bytes discarded from a refused client before the connection is reset.
NEAR_MICROSECONDS = 200  # A client with a shorter round trip is near.
NEAR_BUFFER_BYTES = 512 << 10  # Send buffer for near clients.
# In `struct tcp_info` (linux/tcp.h).
_RTT_OFFSET = 68  # tcpi_rtt, microseconds.
_ACKED_OFFSET = 120  # tcpi_bytes_acked, since Linux 4.1.
_INFO_BYTES = 128
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: drop the kernel's send buffer on close.
_LONG = errors.HeadTooLarge(
    f"the request line and header fields may have at most {MAX_HEAD_BYTES} bytes"
)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*")  # RFC 9110, section 7.2.
_MALFORMED = errors.MalformedRequest("the bytes received are not an HTTP/1.1 request (RFC 9112)")
_HOSTLESS = errors.MalformedRequest("an HTTP/1.1 request needs exactly one `Host` field (RFC 9112)")


class Connection(HttpToolsProtocol):
    """Connection that limits request heads, and the bytes in flight to near clients.

    uvicorn alone reads heads of any length, for any time, and any number of pipelined requests.
    It reports a disconnect only to the latest of these. It answers malformed bytes even in the
    middle of another response's body, and closes the connection so soon that a client that still
    sends loses the response.

    The kernel lets a send buffer grow to megabytes. A client on the same host or next to it never
    needs that much, and the bytes have left the CPU's cache when they are copied to the client.
    Twice 512 KiB (the kernel doubles the requested size) in 200 microseconds are 5 GB/s. More
    distant clients keep the kernel's own buffers, which grow with the distance.
    """

    closed: Callable[[], None] = staticmethod(lambda: None)
    """Callback for the end of the connection."""

    cycles: deque[RequestResponseCycle]
    """Requests in order of arrival, from the oldest that was unanswered at the latest head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = Parser(self)  # type: ignore[assignment]
        self._refusal = _MALFORMED  # Response to malformed bytes.
        self._refused_bytes: int | None = None  # Bytes received after a refusal.
        self.cycles = deque()
        self._in_head = False
        self._head_bytes = 0  # Bytes after the first piece; all when the head is complete.
        self._impatience: asyncio.TimerHandle | None = None
        self._hurry()
        connected = transport.get_extra_info("socket")
        elapsed = round_trip_microseconds(connected)
        if elapsed is not None and elapsed < NEAR_MICROSECONDS:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NEAR_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._relax()
        super().connection_lost(exc)
        self.closed()

    def progress(self) -> Progress | None:
        """Return a value that changes as the client takes bytes; None if none wait for it.

        On Linux the kernel reports the acknowledged bytes. On other systems only the bytes that
        wait here are known, which the kernel takes in large pieces.
        """
        if not (waiting := self.transport.get_write_buffer_size()):
            return None
        return waiting, acknowledged_bytes(self.transport.get_extra_info("socket")) or 0

    def cut(self) -> None:
        """Reset the connection and free all unsent bytes, in the kernel too."""
        with suppress(AttributeError, OSError):
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            self._take(data[start : start + PIECE_BYTES])

    def _take(self, data: bytes) -> None:
        if self._refused_bytes is not None:
            self._discard(len(data))
            return
        if self.transport.is_closing():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._refused_bytes is not None or self.transport.is_closing():
            return
        if (
            self._in_head or not self._unanswered()
        ):  # Also for the rest of a request answered early.
            self._hurry()
        # The parser reports nothing until a line is complete.
        is_reading = self._in_head or (self.cycle is not None and self.cycle.more_body)
        if is_reading and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # The parser calls again without the `Upgrade` field.
        while self.cycles and self.cycles[0].response_complete:
            self.cycles.popleft()
        fields = sum(len(name) + len(value) + FIELD_BYTES for name, value in self.headers)
        line = len(self.parser.get_method()) + len(self.url) + LINE_BYTES
        self._head_bytes = line + fields
        if self._head_bytes > MAX_HEAD_BYTES or len(self.cycles) >= MAX_WAITING:
            raise ValueError("too much")  # Stops the parser.
        if not self._names_a_host():
            self._refusal = _HOSTLESS
            raise ValueError("no host")
        super().on_headers_complete()
        self._in_head = False
        self._relax()
        self.cycles.append(self.cycle)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; drop trailers, which must not pass for fields."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0  # From here on, it counts bytes between pieces of the body.
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed bytes with a problem response and end the connection.

        If another response is in progress, the connection ends without one: the client would
        take it for a part of the other response.
        """
        waiting = self._unanswered()
        if any(cycle.response_started or not cycle.more_body for cycle in waiting):
            self.transport.abort()
            return
        long = self._in_head and self._head_bytes > MAX_HEAD_BYTES
        # Use the fields received so far, unless they belong to an earlier request.
        id_ = request_ids.given_or_new(self.headers if self._in_head or waiting else ())
        self.transport.write(_answer(_LONG if long else self._refusal, id_))
        self._leave()
        self._relax()
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closing a socket with unread bytes resets the connection, and the response may be lost.
        self.transport.write_eof()
        self._refused_bytes = 0
        self._impatience = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _leave(self) -> None:
        """Tell all responses in progress that the client has left."""
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()

    def _discard(self, count: int) -> None:
        assert self._refused_bytes is not None
        self._refused_bytes += count
        if self._refused_bytes > LINGER_BYTES:
            self.transport.abort()

    def _names_a_host(self) -> bool:
        """Return whether `Host` is valid: exactly one from HTTP/1.1 on (RFC 9112, section 3.2)."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if not hosts:
            return self.parser.get_http_version() == "1.0"
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None

    def _hurry(self) -> None:
        if self._impatience is None:
            self._impatience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._impatience = None
        if self._unanswered():  # A client that reads a response may send slowly.
            self._hurry()
        else:
            self.transport.abort()

    def _relax(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _unanswered(self) -> list[RequestResponseCycle]:
        return [cycle for cycle in self.cycles if not cycle.response_complete]


def _answer(refusal: errors.Refusal, request_id: str) -> bytes:
    """Return a complete response for `refusal`, head and body."""
    outside = request_ids.current.set(request_id)
    try:
        answer = problems.answer(refusal)
        log.info("refused", status=answer.status_code, reason=str(refusal))
    finally:
        request_ids.current.reset(outside)
    fields = [*answer.raw_headers, (request_ids.FIELD, request_id.encode())]
    fields.append((b"connection", b"close"))
    head = b"HTTP/1.1 %d %b\r\n" % (
        answer.status_code,
        http.HTTPStatus(answer.status_code).phrase.encode(),
    )
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return head + lines + b"\r\n" + bytes(answer.body)


def round_trip_microseconds(connected: socket.socket) -> int | None:
    """Return the round-trip time that the kernel has measured, at least in the handshake.

    The result is None except on Linux with TCP.
    """
    return _told(connected, "I", _RTT_OFFSET)


def acknowledged_bytes(connected: socket.socket) -> int | None:
    """Return the total of bytes that the client has acknowledged; None if unknown."""
    return _told(connected, "Q", _ACKED_OFFSET)


def _told(connected: socket.socket, kind: str, offset: int) -> int | None:
    """Return a field of the kernel's TCP_INFO of a connection; None if it is not available."""
    with suppress(AttributeError, OSError, struct.error):
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        return int(struct.unpack_from(kind, info, offset)[0])
    return None
