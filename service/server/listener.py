"""Listener that accepts connections up to a limit, and waits at the limit."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial

from seedpoint.service.logger import get_logger

log = get_logger("seedpoint.listener")

BACKLOG = 2048  # Connections that the kernel holds until they are accepted.
ACCEPTED_AT_ONCE = 64  # Connections accepted before the event loop serves open ones.
RETRY_SECONDS = 1.0  # Pause after an error of `accept`.
REARM_SHARE = 0.9  # A fall below this share of the limit rearms the warning about the limit.
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO})

Opened = Callable[[Callable[[], None]], asyncio.Protocol]


class Listener:
    """Listener at `sockets` with at most `most` open connections. Belongs to one event loop.

    At the limit, new connections stay in the kernel's backlog, at no cost to the process, until
    an open one ends. A process without free descriptors would fail to accept and spin, or reset
    connections, so `most` is below the limit of open files (`file_descriptors`).
    `opened(closed)` returns the protocol of a connection, which calls `closed` at its end.
    `sockets`, `close` and `wait_closed` are those of asyncio's servers.
    """

    def __init__(self, sockets: Sequence[socket.socket], opened: Opened, *, most: int) -> None:
        self.sockets = tuple(sockets)
        self._opened = opened
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._open: set[object] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_listening = False
        self._is_closed = False
        self._has_told = False

    @property
    def count(self) -> int:
        """Number of open connections."""
        return len(self._open)

    def start(self) -> None:
        """Start to listen."""
        for listener in self.sockets:
            listener.setblocking(False)
            listener.listen(BACKLOG)
        self._listen()

    def close(self) -> None:
        """Stop accepting connections; open ones stay."""
        self._is_closed = True
        self._pause()
        if self._retry is not None:
            self._retry.cancel()
        for listener in self.sockets:
            listener.close()

    async def wait_closed(self) -> None:
        """Wait until no connection is being opened."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _listen(self) -> None:
        self._retry = None
        if not self._is_listening and not self._is_closed:
            self._is_listening = True
            for listener in self.sockets:
                self._loop.add_reader(listener, self._accept, listener)

    def _pause(self) -> None:
        if self._is_listening:
            self._is_listening = False
            for listener in self.sockets:
                self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self.count >= self._most:
                self._tell_full()
                self._pause()
                return
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _GONE:  # The client has left already.
                    continue
                self._rest(error)
                return
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._open.add(place := object())
        task = self._loop.create_task(self._connect(accepted, place))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, accepted: socket.socket, place: object) -> None:
        closed = partial(self._leave, place)
        try:
            await self._loop.connect_accepted_socket(partial(self._opened, closed), accepted)
        except BaseException as error:
            accepted.close()
            closed()
            if not isinstance(error, OSError):  # An OSError means that the client has left.
                raise

    def _leave(self, place: object) -> None:
        self._open.discard(place)
        if self.count < REARM_SHARE * self._most:
            self._has_told = False
        if self._retry is None:
            self._listen()

    def _rest(self, error: OSError) -> None:
        """Listen again after a pause; the shortage is of another process or the machine."""
        name = errno.errorcode.get(error.errno or 0, "")
        reason = os.strerror(error.errno or 0)
        log.error("connections cannot be accepted", errno=name, reason=reason, open=self.count)
        self._pause()
        self._retry = self._loop.call_later(RETRY_SECONDS, self._listen)

    def _tell_full(self) -> None:
        if not self._has_told:
            self._has_told = True
            log.warning("the limit of open connections is reached; others wait", open=self.count)
