"""Worker process that runs one function on one request at a time and can be ended at any time."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from seedpoint.service.workers import forkserver
from seedpoint.service.workers.errors import CallMemory, CallTimeout, WorkerDied, WorkerFailed
from seedpoint.service.workers.folders import Folders
from seedpoint.service.workers.memory_limit import at_most, resident_bytes

Q = TypeVar("Q")
R = TypeVar("R")

START_TIMEOUT_SECONDS = 120.0
LOOK_SECONDS = 0.05  # Interval between checks of a busy worker's memory.
_SIGNALS = {int(number) for number in signal.Signals}
_DEATHS = {
    signal.SIGKILL: "was killed (SIGKILL), probably because the machine ran out of memory",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGABRT: "aborted (SIGABRT)",
}
CRASHED_SHARE = 0.5  # A crash above this share of the memory limit counts as lack of memory.


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of one call: its time, and its memory in addition to that of an idle worker."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Task(Generic[Q, R]):
    """Picklable task of a worker.

    `warm_up()` is called once in each worker, then `run(request)` for each request. Errors of
    `run` in the classes `expected` reach the caller unchanged, MemoryError as CallMemory; any
    other is a failure of the service (WorkerFailed).
    """

    run: Callable[[Q], R]
    warm_up: Callable[[], object]
    expected: tuple[type[Exception], ...]


class Worker(Generic[Q, R]):
    """One process and the pipe to it. One call at a time, from any thread; `kill` at any time."""

    def __init__(
        self, context: BaseContext, task: Task[Q, R], folders: Folders | None = None
    ) -> None:
        """Starts the process, with a temporary folder of its own in `folders`."""
        self._folders = folders or Folders()
        self._folder = self._folders.make()
        try:
            self._pipe = self._started(context, task)
        except BaseException:
            self._folders.remove(self._folder)
            raise
        self.pid: int = self._process.pid
        self.calls = 0
        self.is_at_work = False
        self._warmed_up = False
        self._idle_bytes = 0
        self.seen_bytes = 0  # Most memory that the current call was seen to take.
        self._ended = False

    def _started(self, context: BaseContext, task: Task[Q, R]) -> Connection:
        """Start the process, and return our end of the pipe to it."""
        ours, theirs = context.Pipe()
        with theirs:
            # A daemon, so that it does not outlive an interpreter that ends without `close`.
            self._process: Any = context.Process(  # type: ignore[attr-defined]
                target=_serve,
                args=(theirs, task, self._folder),
                name="seedpoint-worker",
                daemon=True,
            )
            try:
                self._process.start()
            except BaseException:
                ours.close()
                raise
        return ours

    def is_alive(self) -> bool:
        """Return whether it runs; False from the moment that it is told to end."""
        return not self._ended and bool(self._process.is_alive())

    @property
    def sentinel(self) -> int:
        """Handle that is ready, for `multiprocessing.connection.wait`, once the process has ended.

        Raises: ValueError, after `close`.
        """
        sentinel: int = self._process.sentinel
        return sentinel

    @property
    def is_up(self) -> bool:
        """True until it is told to end or known to have ended."""
        return not self._ended

    @property
    def is_warm(self) -> bool:
        """True when it is up and can be called."""
        return self._warmed_up and not self._ended

    @property
    def grown_bytes(self) -> int:
        """Memory, in bytes, in addition to that after the warm-up; 0 if it cannot be read."""
        return max((resident_bytes(self.pid) or 0) - self._idle_bytes, 0)

    def wait_until_warm(self) -> None:
        """Wait for the end of the warm-up.

        Raises: WorkerDied if it does not come up, WorkerFailed if its warm-up raises.
        """
        if not wait([self._pipe, self.sentinel], START_TIMEOUT_SECONDS):
            self.kill()
        self._receive()
        self._idle_bytes = resident_bytes(self.pid) or 0
        self._warmed_up = True

    def call(self, request: Q, limits: CallLimits) -> R:
        """Return the task's result for `request`.

        Raises: the task's errors, WorkerFailed; CallFailed, after which the worker has ended and
        must be closed.
        """
        self.calls += 1
        self.seen_bytes = 0
        self.is_at_work = True
        # The deadline ends every wait for the worker, also that of an unread request.
        with _Deadline(limits.seconds, self.kill) as deadline:
            try:
                return self._exchange(request, limits)
            except WorkerDied:
                if deadline.passed:
                    raise CallTimeout(limits.seconds) from None
                raise
            finally:
                self.is_at_work = False

    def _exchange(self, request: Q, limits: CallLimits) -> R:
        try:
            self._pipe.send((request, limits.memory_bytes))
        except OSError:
            raise self._lost() from None
        self._watch(limits)
        try:
            result: R = self._receive()
        except MemoryError:
            self.kill()  # The failed allocation may have left broken state.
            raise CallMemory(limits.memory_bytes) from None
        except WorkerDied:
            if self._starved(limits):
                raise CallMemory(limits.memory_bytes) from None
            raise
        return result

    def kill(self) -> None:
        """End the process at once; a call in progress raises WorkerDied."""
        self._ended = True
        self._process.kill()

    def close(self) -> None:
        """End the process and free its resources."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()
        self._folders.remove(self._folder)

    def _watch(self, limits: CallLimits) -> None:
        """Wait until there is an answer, or none will come. Raises CallMemory."""
        while not wait([self._pipe, self.sentinel], LOOK_SECONDS):
            self.seen_bytes = max(self.seen_bytes, self.grown_bytes)
            # RLIMIT_DATA acts first, but does not count shared memory.
            if self.seen_bytes > limits.memory_bytes:
                self.kill()
                raise CallMemory(limits.memory_bytes)

    def _receive(self) -> Any:
        try:
            # Pickled by `_serve`, never by a caller.
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        if error is not None:
            raise error
        return result

    def _starved(self, limits: CallLimits) -> bool:
        """Return whether the process died as native code does for lack of memory.

        An uncaught C++ exception (std::bad_alloc) aborts the process; under a limit, nearly all
        aborts come from that. Code that does not check an allocation crashes where it writes.
        """
        code = self._process.exitcode
        much = self.seen_bytes > CRASHED_SHARE * limits.memory_bytes
        return code == -signal.SIGABRT or (code == -signal.SIGSEGV and much)

    def _lost(self) -> WorkerDied:
        if self._ended:
            return WorkerDied("was told to end")
        self._ended = True
        self._process.join(timeout=5)
        return WorkerDied(_death(self._process.exitcode))


class _Deadline:
    """Timer that calls `end` after `seconds`, from a separate thread, and never after the block."""

    def __init__(self, seconds: float, end: Callable[[], None]) -> None:
        self.passed = False
        self._end = end
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._pass)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True

    def _pass(self) -> None:
        with self._lock:
            if not self._over:
                self.passed = True
                self._end()


def _death(code: int | None) -> str:
    """Describe the end of a process, given its exit code in the form of multiprocessing."""
    if code and -code in _SIGNALS:
        return _DEATHS.get(signal.Signals(-code), f"ended ({signal.Signals(-code).name})")
    return f"ended (exit code {code})"


def _serve(pipe: Connection, task: Task[Any, Any], folder: str) -> None:
    """Run a worker process until the other end of the pipe is closed.

    `folder` is its directory for temporary files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes us.
    forkserver.end_with_service()
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    pipe.send(_outcome(task, lambda _: task.warm_up(), None))
    gc.freeze()  # Keeps shared pages shared: the collector skips them from now on.
    gc.set_threshold(10_000)  # At 700 it takes most of the time that a long list of rules does.
    while True:
        try:
            request, memory_bytes = pipe.recv()
        except EOFError:
            return
        try:
            with at_most(memory_bytes):
                outcome = _outcome(task, task.run, request)
        except MemoryError:
            outcome = None, MemoryError()
        pipe.send(outcome)


def _outcome(
    task: Task[Any, Any], run: Callable[[Any], Any], request: Any
) -> tuple[Any, Exception | None]:
    try:
        return run(request), None
    except task.expected as error:
        return None, error.with_traceback(None)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - told to the caller, with its traceback
        return None, WorkerFailed(traceback.format_exc())
