"""Several processes that answer at one address and share one store.

A supervisor starts the processes, replaces those that die or hang, and ends them all on a signal,
whatever the state of a single one. Each process is a complete service with threads, worker
processes and caches of its own.
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

TICK_SECONDS = 0.25  # Interval at which signals are seen; a process's end wakes the supervisor.
HUNG_TICKS = 240  # Ticks without a beat; sleep of the machine does not count as ticks.
RETRY_SECONDS = 1.0  # Pause after a process could not start, or died before it ran.
PIPE_BYTES = 1 << 16
MARGIN_SECONDS = 1.0  # Beside `shutdown_seconds`, to end what was cut and close the store.
KILLED_SECONDS = 1.0  # The kernel takes as long, on a busy machine, to free a process's memory.
STARTUP_FAILURE = 3  # How uvicorn ends when the application does not start.

Target = Callable[[str, list[socket], Connection], None]


class Member:
    """Process of the fleet, and the pipe on which it reports that it runs."""

    def __init__(self, target: Target, settings: str, sockets: Sequence[socket]) -> None:
        """Start the process.

        Raises: OSError, if the system refuses.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        os.set_blocking(self._pipe.fileno(), False)
        self._process = context.Process(target=target, args=(settings, list(sockets), theirs))
        self._process.start()
        theirs.close()
        self.is_running = False  # True after the first beat.
        self._silent_ticks = 0

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Handle that `multiprocessing.connection.wait` reports once the process has ended."""
        return self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        """Exit code of the process; None while it lives."""
        return self._process.exitcode

    @property
    def is_hung(self) -> bool:
        """True if the process ran and has sent no beat for HUNG_TICKS; a start has no limit."""
        return self.is_running and self._silent_ticks >= HUNG_TICKS

    def tick(self) -> None:
        """Read the beats that have arrived since the last tick."""
        self._silent_ticks += 1
        with suppress(OSError):  # No beat arrived, or the process ended (see the sentinel).
            if os.read(self._pipe.fileno(), PIPE_BYTES):
                self.is_running, self._silent_ticks = True, 0

    def tell_to_end(self) -> None:
        """Send SIGTERM; the process goes on sending for `shutdown_seconds`."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL, which ends even a stopped process (SIGSTOP)."""
        self._silent_ticks = 0
        self._process.kill()

    def close(self) -> None:
        """Wait for the end of a process that was killed or has ended, and free its resources."""
        self._process.join()
        self._process.close()
        self._pipe.close()


class Supervisor:
    """Supervisor of `count` processes, each from `start()`, until SIGTERM or SIGINT.

    Then it closes its `sockets`, so that new connections are refused once the processes have
    closed theirs. The processes have `patience_seconds` to end; a second SIGINT kills them at
    once. The supervisor never waits for a single process, so that a hung one delays neither the
    others nor a signal.
    """

    def __init__(
        self,
        start: Callable[[], Member],
        *,
        count: int,
        patience_seconds: float,
        killed_seconds: float = KILLED_SECONDS,
        sockets: Sequence[socket] = (),
    ) -> None:
        self._start = start
        self._sockets = sockets
        self._count = count
        self._patience_seconds = patience_seconds
        self._killed_seconds = killed_seconds
        self.has_left_some = False  # Processes that were killed, and not gone in time.
        self._members: list[Member] = []
        self._start_at = 0.0  # No process is started before this monotonic time.
        self._is_told = False
        self._is_hurried = False

    def run(self) -> bool:
        """Run until all processes have ended; return False if one failed to start.

        A process that fails to start ends the others.
        """
        could_start = True
        with self._signals():
            while could_start and not self._is_told:
                self._fill()
                self._tick()
                could_start = self._look()
            self._end()
        return could_start

    def _fill(self) -> None:
        """Start missing processes; retry later if the system refuses."""
        while len(self._members) < self._count and time.monotonic() >= self._start_at:
            try:
                self._members.append(self._start())
            except OSError as error:
                log.error("a process cannot be started", reason=str(error))
                self._start_at = time.monotonic() + RETRY_SECONDS

    def _tick(self) -> None:
        """Wait for a tick or the end of a process."""
        if not wait([member.sentinel for member in self._members], TICK_SECONDS):
            for member in self._members:
                member.tick()

    def _look(self) -> bool:
        """Remove dead processes and kill hung ones; return False if one failed to start."""
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
        for listener in self._sockets:
            listener.close()
        for member in self._members:
            member.tell_to_end()
        for member in self._living(self._patience_seconds, until=lambda: self._is_hurried):
            log.warning("a process did not end in time and is killed", pid=member.pid)
            member.kill()
        left = self._living(self._killed_seconds)
        for member in self._members:
            if member not in left:
                member.close()
        self.has_left_some = bool(left)

    def _living(self, seconds: float, until: Callable[[], bool] = lambda: False) -> list[Member]:
        """Return the members that live after `seconds`, or sooner: when none does, or `until()`."""
        deadline = time.monotonic() + seconds
        while left := [member for member in self._members if member.exitcode is None]:
            seconds = deadline - time.monotonic()
            if seconds <= 0 or until():
                break
            wait([member.sentinel for member in left], min(seconds, TICK_SECONDS))
        return left

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
    """Run `settings.workers` processes until a signal stops them.

    Exits with STARTUP_FAILURE if they do not start.
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
        sockets=sockets,
    )
    status = 0 if supervisor.run() else STARTUP_FAILURE
    if supervisor.has_left_some:  # An interpreter that ends as usual waits for all of them.
        forkserver.end_at_once(status)
    if status:
        sys.exit(status)


def _serve_as_member(document: str, sockets: list[socket], pipe: Connection) -> None:
    """Run the service as one of the processes, with its process id in every log line."""
    forkserver.end_with_parent()
    structlog.contextvars.bind_contextvars(process=os.getpid())
    from seedpoint.service.server.uvicorn_server import Server, run

    server = Server.ready(Settings.model_validate_json(document))
    server.on_second = _Beat(pipe, server)
    run(server, sockets)


class _Beat:
    """Beat on `pipe` that the event loop runs; it ends `server` if the supervisor is gone.

    Linux ends this process with the supervisor; other systems detect it by the broken pipe.
    """

    def __init__(self, pipe: Connection, server: Server) -> None:
        self._pipe = pipe
        self._server = server
        os.set_blocking(pipe.fileno(), False)

    def __call__(self) -> None:
        try:
            os.write(self._pipe.fileno(), b".")
        except BlockingIOError:  # The pipe is full, because the supervisor is stopped.
            pass
        except OSError:
            self._server.should_exit = True
