"""Several processes that answer at one address and share one store.

A supervisor starts them, replaces those that die or hang, and ends them all when it is told
to, however one of them fares. Each has the parts of a service of its own: threads, worker
processes, caches.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from seedpoint.service.server.addresses import bound, tell_started
from seedpoint.service.settings import Settings
from seedpoint.service.workers import forkserver

if TYPE_CHECKING:
    from seedpoint.service.server.uvicorn_server import Server

log = structlog.get_logger("seedpoint.fleet")

TICK_SECONDS = 0.25  # How often the supervisor looks at signals; the processes wake it at once.
HUNG_TICKS = 240  # Without a beat; by ticks, so that a machine that slept finds nobody hung.
RETRY_SECONDS = 1.0  # After a process could not be started, or died before it ran.
PIPE_BYTES = 1 << 16
MARGIN_SECONDS = 1.0  # Beside `shutdown_seconds`, to end what was cut and close the store.
STARTUP_FAILURE = 3  # How uvicorn ends when the application does not start.

Target = Callable[[str, list[socket], Connection], None]


class Member:
    """One of the processes, and the pipe on which it says that it runs."""

    def __init__(self, target: Target, settings: str, sockets: Sequence[socket]) -> None:
        """Starts the process. Raises OSError when the system refuses."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        os.set_blocking(self._pipe.fileno(), False)
        self._process = context.Process(target=target, args=(settings, list(sockets), theirs))
        self._process.start()
        theirs.close()
        self.is_running = False  # From its first beat on.
        self._silent_ticks = 0

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Ready for `multiprocessing.connection.wait` when the process has ended."""
        return self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        """None while it lives."""
        return self._process.exitcode

    @property
    def is_hung(self) -> bool:
        """Whether it ran and has been silent for long; a start takes as long as it takes."""
        return self.is_running and self._silent_ticks >= HUNG_TICKS

    def tick(self) -> None:
        """Takes the beats that have come since the last tick."""
        self._silent_ticks += 1
        with suppress(OSError):  # None has come, or it has ended, as its sentinel tells.
            if os.read(self._pipe.fileno(), PIPE_BYTES):
                self.is_running, self._silent_ticks = True, 0

    def tell_to_end(self) -> None:
        """SIGTERM: it goes on sending for `shutdown_seconds`."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL, which a process that is stopped (SIGSTOP) cannot put off either."""
        self._silent_ticks = 0
        self._process.kill()

    def close(self) -> None:
        """Waits for the end of a process that was killed or has ended."""
        self._process.join()
        self._process.close()
        self._pipe.close()


class Supervisor:
    """Keeps `count` processes, each from `start()`, until SIGTERM or SIGINT tells it to end.

    Then they have `patience_seconds`; a second SIGINT ends them at once. It waits for no
    single process, so that one which hangs delays neither the others nor a signal.
    """

    def __init__(self, start: Callable[[], Member], *, count: int, patience_seconds: float) -> None:
        self._start = start
        self._count = count
        self._patience_seconds = patience_seconds
        self._members: list[Member] = []
        self._start_at = 0.0  # No process is started before this monotonic time.
        self._is_told = False
        self._is_hurried = False

    def run(self) -> bool:
        """Returns when all have ended; False when one could not start, which ends the others."""
        could_start = True
        with self._signals():
            while could_start and not self._is_told:
                self._fill()
                self._tick()
                could_start = self._look()
            self._end()
        return could_start

    def _fill(self) -> None:
        """Starts what is missing; later when the system refuses."""
        while len(self._members) < self._count and time.monotonic() >= self._start_at:
            try:
                self._members.append(self._start())
            except OSError as error:
                log.error("a process cannot be started", reason=str(error))
                self._start_at = time.monotonic() + RETRY_SECONDS

    def _tick(self) -> None:
        """Returns after a tick, or when a process ends."""
        if not wait([member.sentinel for member in self._members], TICK_SECONDS):
            for member in self._members:
                member.tick()

    def _look(self) -> bool:
        """Takes out those that have died, kills those that hang; False if one cannot start."""
        for member in list(self._members):
            if member.is_hung:
                log.error("a process hangs and is killed", pid=member.pid)
                member.kill()
            if member.exitcode is None:
                continue
            if not member.is_running:
                if member.exitcode == STARTUP_FAILURE:
                    log.error("a process could not start, and the others end", pid=member.pid)
                    return False
                self._start_at = time.monotonic() + RETRY_SECONDS
            log.warning("a process died", pid=member.pid, exitcode=member.exitcode)
            self._members.remove(member)
            member.close()
        return True

    def _end(self) -> None:
        for member in self._members:
            member.tell_to_end()
        deadline = time.monotonic() + self._patience_seconds
        while left := [member for member in self._members if member.exitcode is None]:
            seconds = deadline - time.monotonic()
            if seconds <= 0 or self._is_hurried:
                break
            wait([member.sentinel for member in left], min(seconds, TICK_SECONDS))
        for member in left:
            log.warning("a process did not end in time and is killed", pid=member.pid)
            member.kill()
        for member in self._members:
            member.close()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def told(number: int, _frame: FrameType | None) -> None:
            self._is_hurried = self._is_told and number == signal.SIGINT
            self._is_told = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, told) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: Settings) -> None:
    """Runs `settings.workers` processes until told to stop.

    Ends this process with STARTUP_FAILURE when they do not start.
    """
    try:
        sockets = bound(settings.host, settings.port)
    except OSError as error:
        log.error("the address cannot be listened on", reason=str(error))
        sys.exit(STARTUP_FAILURE)
    tell_started(sockets)
    document = settings.model_dump_json()
    supervisor = Supervisor(
        lambda: Member(_serve_as_member, document, sockets),
        count=settings.workers,
        patience_seconds=settings.shutdown_seconds + MARGIN_SECONDS,
    )
    if not supervisor.run():
        sys.exit(STARTUP_FAILURE)


def _serve_as_member(document: str, sockets: list[socket], pipe: Connection) -> None:
    """The life of one of the processes, whose number is in its log lines."""
    forkserver.end_with_parent()
    structlog.contextvars.bind_contextvars(process=os.getpid())
    from seedpoint.service.app import ready_app
    from seedpoint.service.server.uvicorn_server import Server, run

    settings = Settings.model_validate_json(document)
    server = Server(ready_app(settings), settings)
    server.on_second = _Beat(pipe, server)
    run(server, sockets)


class _Beat:
    """Says on `pipe` that the event loop runs; ends `server` when nobody listens any more.

    Linux ends this process with the supervisor; elsewhere the pipe tells.
    """

    def __init__(self, pipe: Connection, server: Server) -> None:
        self._pipe = pipe
        self._server = server
        os.set_blocking(pipe.fileno(), False)

    def __call__(self) -> None:
        try:
            os.write(self._pipe.fileno(), b".")
        except BlockingIOError:  # The supervisor is stopped: it has enough to read.
            pass
        except OSError:
            self._server.should_exit = True
