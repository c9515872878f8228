"""A worker process: it runs one function on one request at a time, and can be ended at any time."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from seedpoint.service.errors import BuildMemory, BuildTimeout, WorkerLost
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.memory_limit import at_most, resident_bytes

Q = TypeVar("Q")
R = TypeVar("R")

START_TIMEOUT_SECONDS = 120.0
LOOK_SECONDS = 0.05  # How often the memory of a worker that is at work is looked at.
_SIGNALS = {int(number) for number in signal.Signals}
_DEATHS = {
    signal.SIGKILL: "was killed (SIGKILL), as it is when the machine has no memory left",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGABRT: "aborted (SIGABRT)",
}
CRASHED_SHARE = 0.5  # A crash is for want of memory when so much of what is allowed was taken.


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call may take: time, and memory besides what an idle worker has."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Task(Generic[Q, R]):
    """What a worker runs, picklable.

    `warm_up()` is called once in each worker, then `run(request)` for each request. Of what
    `run` raises, the classes in `expected` reach the caller as they are, and MemoryError as
    BuildMemory; anything else is a failure of the service (WorkerFailed).
    """

    run: Callable[[Q], R]
    warm_up: Callable[[], object]
    expected: tuple[type[Exception], ...]


class WorkerFailed(RuntimeError):
    """An exception in a worker that nobody expected, with the worker's traceback."""


class Worker(Generic[Q, R]):
    """One process and the pipe to it. One call at a time, from any thread; `kill` from any."""

    def __init__(self, context: BaseContext, task: Task[Q, R]) -> None:
        self._folder = tempfile.mkdtemp(prefix="seedpoint-worker-")
        try:
            self._pipe = self._started(context, task)
        except BaseException:
            self._remove_folder()
            raise
        self.pid: int = self._process.pid
        self.calls = 0
        self.is_at_work = False
        self._warmed_up = False
        self._idle_bytes = 0
        self._seen_bytes = 0  # The most that a call was seen to have taken.
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
        """False from the moment that it is told to end."""
        return not self._ended and bool(self._process.is_alive())

    @property
    def is_up(self) -> bool:
        """Return whether it was not told to end, and is not known to have ended."""
        return not self._ended

    @property
    def is_warm(self) -> bool:
        """Return whether it is up and can be called."""
        return self._warmed_up and not self._ended

    @property
    def grown_bytes(self) -> int:
        """How much more memory it has than when it was warm; 0 when nothing tells."""
        return (resident_bytes(self.pid) or 0) - self._idle_bytes

    def wait_until_warm(self) -> None:
        """Raises WorkerLost when it does not come up, WorkerFailed when its warm-up raises."""
        if not wait([self._pipe, self._process.sentinel], START_TIMEOUT_SECONDS):
            self.kill()
        self._receive()
        self._idle_bytes = resident_bytes(self.pid) or 0
        self._warmed_up = True

    def call(self, request: Q, budget: Budget) -> R:
        """What the task returns for `request`.

        Raises what the task raises; BuildTimeout, BuildMemory and WorkerLost, after which
        the worker has ended and must be closed.
        """
        self.calls += 1
        self._seen_bytes = 0
        self.is_at_work = True
        # It ends whatever waits for the worker: sending what it does not read, too.
        with _Deadline(budget.seconds, self.kill) as deadline:
            try:
                return self._exchange(request, budget)
            except WorkerLost:
                if deadline.passed:
                    message = f"the spec took longer than {budget.seconds:g} seconds to plan"
                    raise BuildTimeout(message) from None
                raise
            finally:
                self.is_at_work = False

    def _exchange(self, request: Q, budget: Budget) -> R:
        try:
            self._pipe.send((request, budget.memory_bytes))
        except OSError:
            raise self._lost() from None
        self._watch(budget)
        try:
            result: R = self._receive()
        except BuildMemory:
            self.kill()  # Whatever failed to be allocated may have left something half done.
            raise
        except WorkerLost:
            if self._starved(budget):
                raise _out_of_memory(budget.memory_bytes) from None
            raise
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
        self._remove_folder()

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self, budget: Budget) -> None:
        """Returns when there is an answer, or none will come."""
        while not wait([self._pipe, self._process.sentinel], LOOK_SECONDS):
            self._seen_bytes = max(self._seen_bytes, self.grown_bytes)
            # RLIMIT_DATA comes first, but does not count memory that is shared.
            if self._seen_bytes > budget.memory_bytes:
                self.kill()
                raise _out_of_memory(budget.memory_bytes)

    def _receive(self) -> Any:
        try:
            # Pickled by `_serve`, never by a caller.
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        if error is not None:
            raise error
        return result

    def _starved(self, budget: Budget) -> bool:
        """Whether it died as native code does that is refused memory.

        An exception that C++ code does not catch (std::bad_alloc) aborts the process, which
        is nearly all that does under a limit; what does not look whether it was refused,
        crashes where it writes.
        """
        code = self._process.exitcode
        much = self._seen_bytes > CRASHED_SHARE * budget.memory_bytes
        return code == -signal.SIGABRT or (code == -signal.SIGSEGV and much)

    def _lost(self) -> WorkerLost:
        if self._ended:
            return WorkerLost("the worker that planned this spec was told to end")
        self._ended = True
        self._process.join(timeout=5)
        code = self._process.exitcode
        return WorkerLost(f"the worker that planned this spec {_death(code)}; nothing was issued")


class _Deadline:
    """Calls `end` after so many seconds, from a thread of its own, and never after the block."""

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
    """How a process ended, by its exit code as multiprocessing gives it."""
    if code and -code in _SIGNALS:
        return _DEATHS.get(signal.Signals(-code), f"ended ({signal.Signals(-code).name})")
    return f"ended (exit code {code})"


def _out_of_memory(limit_bytes: int) -> BuildMemory:
    return BuildMemory(f"the spec took more than {limit_bytes} bytes of memory to plan")


def _serve(pipe: Connection, task: Task[Any, Any], folder: str) -> None:
    """The life of a worker process: until the other end of the pipe is closed.

    `folder` is its directory for temporary files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes us.
    forkserver.end_with_service()
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    pipe.send(_outcome(task, lambda _: task.warm_up(), None))
    gc.freeze()  # What all workers share stays shared, and is not looked at any more.
    while True:
        try:
            request, memory_bytes = pipe.recv()
        except EOFError:
            return
        try:
            with at_most(memory_bytes):
                outcome = _outcome(task, task.run, request)
        except MemoryError:
            outcome = None, _out_of_memory(memory_bytes)
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
