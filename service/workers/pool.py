"""Pool of worker processes, which replaces workers that die, are ended or are worn.

The standard library's pools do not fit: `ProcessPoolExecutor` breaks every future when one
worker dies, and neither it nor `multiprocessing.Pool` can stop a single task that overruns. Here
each worker has its own thread and pipe, so that its failure affects one caller.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from seedpoint.service.errors import ShuttingDown
from seedpoint.service.logger import get_logger
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.errors import NoWorker
from seedpoint.service.workers.folders import Folders
from seedpoint.service.workers.worker import CallLimits, Task, Worker

log = get_logger("seedpoint.pool")

Q = TypeVar("Q")
R = TypeVar("R")

LOOK_SECONDS = 0.5  # Interval between checks of an idle worker.
RETRY_SECONDS = 1.0  # Pause between attempts to start a worker.
CALLS = 5_000  # A worker is replaced after this many calls, which bounds leaks.
CLOSE_SECONDS = 2.0  # Time left to a worker that is being started; then it ends by itself.
GRACE_SECONDS = 0.5  # Time left to an abandoned call: a new worker costs as much.
WORN_SHARE = 0.5  # Replace a worker that keeps more than this share of the per-call memory limit.


class Job(Generic[Q, R]):
    """A request on its way through a worker, and the future of its result."""

    def __init__(self, request: Q, limits: CallLimits) -> None:
        self.request = request
        self.limits = limits
        self.future: Future[R] = Future()
        self._worker: Worker[Q, R] | None = None
        self._lock = threading.Lock()

    def run(self, worker: Worker[Q, R]) -> None:
        """Run the request and settle the future, unless the caller has given up."""
        with self._lock:
            if not self.future.set_running_or_notify_cancel():
                return
            self._worker = worker
        try:
            result = worker.call(self.request, self.limits)
        except Exception as error:  # noqa: BLE001 - the caller's to handle
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        with self._lock:
            self._worker = None

    def abandon(self) -> bool:
        """Give up the job; return whether a worker still runs it, which `end` can stop."""
        with self._lock:
            self.future.cancel()
            return self._worker is not None

    def end(self) -> None:
        """Kill the worker that still runs the job, if there is one."""
        with self._lock:
            if self._worker is not None:
                self._worker.kill()

    def refuse(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Pool(Generic[Q, R]):
    """Pool of `size` workers for `task`, which serve calls in order of arrival within `limits`.

    Call it in an event loop; `start` returns at once, and calls wait until a worker is warm. The
    callers bound the number of calls, by an `Admission`.
    """

    def __init__(
        self,
        task: Task[Q, R],
        *,
        size: int,
        limits: CallLimits,
        grace_seconds: float = GRACE_SECONDS,
        calls_per_worker: int = CALLS,
    ) -> None:
        self._task = task
        self.limits = limits
        self._grace_seconds = grace_seconds
        self._calls_per_worker = calls_per_worker
        self._jobs: queue.SimpleQueue[Job[Q, R]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._folders = Folders()
        self._starting = threading.Lock()  # multiprocessing starts one process at a time.
        self._workers: list[Worker[Q, R] | None] = [None] * size
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers."""
        context = forkserver.context()
        for slot in range(len(self._workers)):
            thread = threading.Thread(
                target=self._keep, args=(slot, context), name=f"pool-{slot}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    @property
    def warm(self) -> bool:
        """True when every worker is up and warm."""
        return self.warm_count() == len(self._workers)

    def warm_count(self) -> int:
        """Return the number of workers that are up and warm."""
        return sum(worker is not None and worker.is_warm for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [worker.pid for worker in self.workers]

    @property
    def pids_at_work(self) -> list[int]:
        """Process ids of the workers that run a call."""
        return [worker.pid for worker in self.workers if worker.is_at_work]

    @property
    def workers(self) -> list[Worker[Q, R]]:
        """Workers that are up."""
        return [worker for worker in self._workers if worker is not None and worker.is_up]

    async def call(
        self, request: Q, limits: CallLimits | None = None, *, wait_seconds: float | None = None
    ) -> R:
        """Return the task's result for `request`.

        After a cancellation, a worker that still runs the call when the grace period is over is
        killed. Raises: the task's errors, WorkerFailed, CallFailed, ShuttingDown; NoWorker, if no
        worker took the call within `wait_seconds`.
        """
        if self._closing.is_set():
            raise ShuttingDown("the service is shutting down")
        job: Job[Q, R] = Job(request, limits or self.limits)
        self._jobs.put(job)
        outcome = asyncio.wrap_future(job.future)
        try:
            await asyncio.wait((outcome,), timeout=wait_seconds)
            if job.future.cancel():  # Succeeds only while the job waits.
                raise NoWorker
            return await outcome
        except asyncio.CancelledError:
            outcome.cancel()
            if job.abandon():
                asyncio.get_running_loop().call_later(self._grace_seconds, job.end)
            raise

    def close(self) -> None:
        """End every worker; calls in progress raise WorkerDied, waiting ones ShuttingDown."""
        self._closing.set()
        for worker in self._workers:
            if worker is not None:
                with suppress(ValueError):  # Its own thread has just closed it.
                    worker.kill()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        while not self._jobs.empty():
            self._jobs.get().refuse(ShuttingDown("the service is shutting down"))

    def _keep(self, slot: int, context: BaseContext) -> None:
        """Run a slot's thread: start a worker, serve it until it ends, and start the next."""
        while not self._closing.is_set():
            try:
                with self._starting:
                    worker = self._workers[slot] = Worker(context, self._task, self._folders)
                try:
                    self._attend(worker)
                    log.info("a worker ended", pid=worker.pid, calls=worker.calls)
                finally:
                    self._workers[slot] = None
                    worker.close()
            except Exception as error:  # noqa: BLE001 - a slot must go on
                log.error("a worker did not start", reason=str(error))
                self._closing.wait(RETRY_SECONDS)

    def _attend(self, worker: Worker[Q, R]) -> None:
        """Give `worker` jobs until it dies or is worn."""
        if self._closing.is_set():
            return
        worker.wait_until_warm()
        while not self._closing.is_set() and worker.is_alive() and not self._is_worn(worker):
            try:
                job = self._jobs.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if not worker.is_alive():  # Ended while idle: the job is for its successor.
                self._jobs.put(job)
                return
            job.run(worker)

    def _is_worn(self, worker: Worker[Q, R]) -> bool:
        kept = WORN_SHARE * self.limits.memory_bytes
        return worker.calls >= self._calls_per_worker or worker.grown_bytes > kept
