"""A worker process: it runs one function on one body at a time, and can be ended at any time."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from service.errors import BuildTimeout, WorkerLost

R = TypeVar("R")

START_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Task(Generic[R]):
    """What a worker runs, picklable.

    `warm_up()` is called once in each worker, then `run(body)` for each request. Of what
    `run` raises, the classes in `expected` reach the caller as they are; anything else is
    a failure of the service (WorkerFailed).
    """

    run: Callable[[bytes], R]
    warm_up: Callable[[], object]
    expected: tuple[type[Exception], ...]


class WorkerFailed(RuntimeError):
    """An exception in a worker that nobody expected, with the worker's traceback."""


class Worker(Generic[R]):
    """One process and the pipe to it. One call at a time, from any thread; `kill` from any."""

    def __init__(self, context: BaseContext, task: Task[R]) -> None:
        self._pipe, theirs = context.Pipe()
        # A daemon, so that it does not outlive an interpreter that ends without `close`.
        self._process: Any = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, task), name="seedpoint-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        self.pid: int = self._process.pid
        self.warm = False
        self._ended = False

    def is_alive(self) -> bool:
        """False from the moment that it is told to end."""
        return not self._ended and bool(self._process.is_alive())

    def wait_until_warm(self) -> None:
        """Raises WorkerLost when it does not come up, WorkerFailed when its warm-up raises."""
        self._receive(START_TIMEOUT_SECONDS)
        self.warm = True

    def call(self, body: bytes, timeout_seconds: float) -> R:
        """What the task returns for `body`.

        Raises what the task raises; BuildTimeout and WorkerLost, after which the worker
        has ended and must be closed.
        """
        try:
            self._pipe.send_bytes(body)
        except OSError:
            raise self._lost() from None
        result: R = self._receive(timeout_seconds)
        return result

    def kill(self) -> None:
        """Ends the process at once; a call in progress raises WorkerLost."""
        self._ended = True
        self._process.kill()

    def close(self) -> None:
        """Ends the process and frees what is held for it."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def _receive(self, timeout_seconds: float) -> Any:
        if not wait([self._pipe, self._process.sentinel], timeout_seconds):
            self.kill()
            raise BuildTimeout(f"the spec took longer than {timeout_seconds:g} seconds to plan")
        try:
            # Pickled by `_serve`, never by a caller.
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        if error is not None:
            raise error
        return result

    def _lost(self) -> WorkerLost:
        self._ended = True
        self._process.join(timeout=5)
        code = self._process.exitcode
        how = signal.Signals(-code).name if code and -code in _SIGNALS else f"exit code {code}"
        return WorkerLost(f"the worker that planned this spec ended ({how})")


_SIGNALS = {int(number) for number in signal.Signals}


def _serve(pipe: Connection, task: Task[Any]) -> None:
    """The life of a worker process: until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes us.
    pipe.send(_outcome(task, lambda _: task.warm_up(), b""))
    while True:
        try:
            body = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send(_outcome(task, task.run, body))


def _outcome(
    task: Task[Any], run: Callable[[bytes], Any], body: bytes
) -> tuple[Any, Exception | None]:
    try:
        return run(body), None
    except task.expected as error:
        return None, error.with_traceback(None)
    except Exception:  # noqa: BLE001 - told to the caller, with its traceback
        return None, WorkerFailed(traceback.format_exc())
