"""The listening end: it accepts connections while there is room for them, and waits otherwise."""

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
ACCEPTED_AT_ONCE = 64  # Before the event loop turns to what is open already.
RETRY_SECONDS = 1.0  # After a connection could not be accepted.
REARM_SHARE = 0.9  # The log says again that it is full after a fall below this share.
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO})

Opened = Callable[[Callable[[], None]], asyncio.Protocol]


class Listener:
    """Accepts connections at `sockets`, `most` at once. Belongs to one event loop.

    What comes while there are as many stays in the kernel's backlog, where it costs the
    process nothing, and is accepted when one of them ends. A process that has no descriptor
    left would accept nothing and spin, or reset connections, so `most` is below what it may
    have open (`descriptors`). `opened(closed)` makes the protocol of a connection, which calls
    `closed` when that has ended. The last four methods are those of asyncio's servers.
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
        """How many connections are open."""
        return len(self._open)

    def start(self) -> None:
        """Begins to listen."""
        for listener in self.sockets:
            listener.setblocking(False)
            listener.listen(BACKLOG)
        self._listen()

    def close(self) -> None:
        """Accepts nothing more; what is open stays."""
        self._is_closed = True
        self._pause()
        if self._retry is not None:
            self._retry.cancel()
        for listener in self.sockets:
            listener.close()

    async def wait_closed(self) -> None:
        """Returns when no connection is being opened any more."""
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
            if not isinstance(error, OSError):  # Else the client has left meanwhile.
                raise

    def _leave(self, place: object) -> None:
        self._open.discard(place)
        if self.count < REARM_SHARE * self._most:
            self._has_told = False
        if self._retry is None:
            self._listen()

    def _rest(self, error: OSError) -> None:
        """Listens again after a while: the shortage is another process's, or the machine's."""
        name = errno.errorcode.get(error.errno or 0, "")
        reason = os.strerror(error.errno or 0)
        log.error("no connection can be accepted", errno=name, reason=reason, open=self.count)
        self._pause()
        self._retry = self._loop.call_later(RETRY_SECONDS, self._listen)

    def _tell_full(self) -> None:
        if not self._has_told:
            self._has_told = True
            log.warning("as many connections are open as may be; others wait", open=self.count)
