"""The server's end of a connection: uvicorn's HTTP, bounded, with send buffers for the distance."""

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
HEAD_SECONDS = 60.0  # Until a head is there, from its first byte, or from the connection's begin.
MAX_WAITING = 1000  # Requests sent at once; each takes kilobytes.
LINGER_SECONDS = 2.0  # That a refused client has to read why, while it still sends.
LINGER_BYTES = 16 << 20
NEAR_MICROSECONDS = 200
NEAR_BUFFER_BYTES = 512 << 10
# In `struct tcp_info` (linux/tcp.h).
_RTT_OFFSET = 68  # tcpi_rtt, microseconds.
_ACKED_OFFSET = 120  # tcpi_bytes_acked, since Linux 4.1.
_INFO_BYTES = 128
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is in the kernel's buffer is dropped.
_LONG = errors.HeadTooLarge(f"a request's line and fields have {MAX_HEAD_BYTES} bytes at most")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*")  # RFC 9110, section 7.2.
_MALFORMED = errors.MalformedRequest("what was sent is no HTTP/1.1 request (RFC 9112)")
_HOSTLESS = errors.MalformedRequest("a request has one `Host` field, from HTTP/1.1 on (RFC 9112)")


class Connection(HttpToolsProtocol):
    """Bounds what is read before a request, and keeps little in flight to clients that are near.

    uvicorn reads heads of any length, for any time, and any number of pipelined requests; it
    tells only the latest of these that their client has left; it answers what is no HTTP
    even in the middle of the body of another answer, and ends the connection so soon that the
    answer is lost to clients that still send.

    The kernel lets a send buffer grow to megabytes, which a client on the same host or next
    to it never needs, and which then are out of the CPU's cache when they are copied to it.
    Twice 512 KiB (the kernel doubles what it is told) in 200 microseconds are 5 GB/s. Clients
    further away have the kernel's own buffers, which grow with the distance.
    """

    closed: Callable[[], None] = staticmethod(lambda: None)
    """Called when the connection has ended."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = Parser(self)  # type: ignore[assignment]
        self._refusal = _MALFORMED  # Of what is no request.
        self._refused_bytes: int | None = None  # That came since then.
        self._cycles: deque[RequestResponseCycle] = deque()  # Those that are not answered yet.
        self._in_head = False
        self._head_bytes = 0  # That came since its first piece; all of them when it is complete.
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
        """A value that changes when the client takes some bytes; None when none wait for it.

        The kernel tells how many it has acknowledged. Where it does not (only Linux does), the
        bytes that wait here must do, which the kernel takes in large pieces.
        """
        if not (waiting := self.transport.get_write_buffer_size()):
            return None
        return waiting, acknowledged_bytes(self.transport.get_extra_info("socket")) or 0

    def cut(self) -> None:
        """Ends the connection at once and frees what waits to be sent, in the kernel too."""
        with suppress(AttributeError, OSError):
            connected = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused_bytes is not None:
            self._discard(len(data))
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._refused_bytes is not None or self.transport.is_closing():
            return
        if self._in_head or not self._unanswered():  # As the rest of what was answered early.
            self._hurry()
        # Of a line that has not ended the parser tells nothing.
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # It comes again, without.
        while self._cycles and self._cycles[0].response_complete:
            self._cycles.popleft()
        fields = sum(len(name) + len(value) for name, value in self.headers)
        self._head_bytes = len(self.url) + fields
        if self._head_bytes > MAX_HEAD_BYTES or len(self._cycles) >= MAX_WAITING:
            raise ValueError("too much")  # To the parser, which gives up.
        if not self._names_a_host():
            self._refusal = _HOSTLESS
            raise ValueError("no host")
        super().on_headers_complete()
        self._in_head = False
        self._relax()
        self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, with a problem; the connection ends.

        While another answer is under way there is nothing to be said: it would be taken for
        a part of that.
        """
        waiting = self._unanswered()
        if any(cycle.response_started or not cycle.more_body for cycle in waiting):
            self.transport.abort()
            return
        long = self._in_head and self._head_bytes > MAX_HEAD_BYTES
        # The fields so far, unless they are those of an earlier request.
        id_ = request_ids.given_or_new(self.headers if self._in_head or waiting else ())
        self.transport.write(_answer(_LONG if long else self._refusal, id_))
        self._leave()
        self._relax()
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        # To close a socket that was not read to its end resets it, and the answer may be lost.
        self.transport.write_eof()
        self._refused_bytes = 0
        self._impatience = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _leave(self) -> None:
        """Tells whoever is at an answer that nobody waits for it any more."""
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()

    def _discard(self, count: int) -> None:
        assert self._refused_bytes is not None
        self._refused_bytes += count
        if self._refused_bytes > LINGER_BYTES:
            self.transport.abort()

    def _names_a_host(self) -> bool:
        """One, from HTTP/1.1 on (RFC 9112, section 3.2)."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if not hosts:
            return self.parser.get_http_version() == "1.0"
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None

    def _hurry(self) -> None:
        if self._impatience is None:
            self._impatience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._impatience = None
        if self._unanswered():  # Who reads may send slowly meanwhile.
            self._hurry()
        else:
            self.transport.abort()

    def _relax(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _unanswered(self) -> list[RequestResponseCycle]:
        return [cycle for cycle in self._cycles if not cycle.response_complete]


def _answer(refusal: errors.Refusal, request_id: str) -> bytes:
    """The whole of it, head and body."""
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
    """As the kernel has measured it so far (at least in the handshake); None if it does not tell.

    Only Linux does, and only of TCP.
    """
    return _told(connected, "I", _RTT_OFFSET)


def acknowledged_bytes(connected: socket.socket) -> int | None:
    """How many bytes the client's end has acknowledged in all; None if nothing tells."""
    return _told(connected, "Q", _ACKED_OFFSET)


def _told(connected: socket.socket, kind: str, offset: int) -> int | None:
    """A field of the kernel's account of a connection (TCP_INFO)."""
    with suppress(AttributeError, OSError, struct.error):
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        return int(struct.unpack_from(kind, info, offset)[0])
    return None
