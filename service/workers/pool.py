"""A pool of worker processes, each replaced when it dies, must, or has done enough.

Of the standard library's pools, `ProcessPoolExecutor` breaks every future when one
worker dies, and neither can stop the one task that overruns. Here each worker has a
thread and a pipe of its own, so that what befalls it concerns one caller.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from seedpoint.service.errors import Busy, ShuttingDown
from seedpoint.service.logger import get_logger
from seedpoint.service.workers import forkserver
from seedpoint.service.workers.worker import Budget, Task, Worker

log = get_logger("seedpoint.pool")

Q = TypeVar("Q")
R = TypeVar("R")

LOOK_SECONDS = 0.5  # How often an idle worker is looked after.
RETRY_SECONDS = 1.0  # Between attempts to start a worker that does not come up.
CALLS = 5_000  # After so many a worker is replaced, so that nothing can leak for ever.
GRACE_SECONDS = 0.5  # What nobody waits for may still end by itself: a new worker costs as much.
WORN_SHARE = 0.5  # As when it keeps more than this share of what one call may take.


class _Job(Generic[Q, R]):
    """A request on its way through a worker, and the future of its result."""

    def __init__(self, request: Q, budget: Budget) -> None:
        self.request = request
        self.budget = budget
        self.future: Future[R] = Future()
        self._worker: Worker[Q, R] | None = None
        self._lock = threading.Lock()

    def run(self, worker: Worker[Q, R]) -> None:
        """Settles the future, unless nobody waits for it any more."""
        with self._lock:
            if not self.future.set_running_or_notify_cancel():
                return
            self._worker = worker
        try:
            result = worker.call(self.request, self.budget)
        except Exception as error:  # noqa: BLE001 - the caller's to handle
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        with self._lock:
            self._worker = None

    def abandon(self) -> bool:
        """Nobody waits any more; whether a worker is at it, which goes on until it is `end`ed."""
        with self._lock:
            self.future.cancel()
            return self._worker is not None

    def end(self) -> None:
        """Kills the worker that is still at it, if one is."""
        with self._lock:
            if self._worker is not None:
                self._worker.kill()

    def refuse(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Pool(Generic[Q, R]):
    """`size` workers for `task`; up to `waiting` more calls may wait for one.

    They wait `wait_seconds` at most, and then may take what is in `budget`. Made and called
    in an event loop; `start` returns at once, and calls wait until a worker is warm.
    """

    def __init__(
        self,
        task: Task[Q, R],
        *,
        size: int,
        waiting: int,
        wait_seconds: float,
        budget: Budget,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._task = task
        self._admissible = size + waiting
        self.budget = budget
        self._wait_seconds = wait_seconds
        self._grace_seconds = grace_seconds
        self._jobs: queue.Queue[_Job[Q, R]] = queue.Queue()
        self._admitted = 0
        self._closing = threading.Event()
        self._starting = threading.Lock()  # multiprocessing starts one process at a time.
        self._workers: list[Worker[Q, R] | None] = [None] * size
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the workers."""
        context = forkserver.context()
        for slot in range(len(self._workers)):
            thread = threading.Thread(
                target=self._keep, args=(slot, context), name=f"pool-{slot}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    @property
    def warm(self) -> bool:
        """Whether every worker is up and warm."""
        return self.warm_workers() == len(self._workers)

    def warm_workers(self) -> int:
        """How many workers are up and warm."""
        return sum(worker is not None and worker.is_warm for worker in self._workers)

    def admitted(self) -> int:
        """How many calls a worker is at or wait for one."""
        return self._admitted

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._workers if worker is not None and worker.is_up]

    @property
    def pids_at_work(self) -> list[int]:
        """The process ids of the workers that are at a call."""
        return [w.pid for w in self._workers if w is not None and w.is_up and w.is_at_work]

    async def call(self, request: Q, budget: Budget | None = None) -> R:
        """What the task returns for `request`. Cancelled, it ends a worker that stays at it.

        Raises what the task raises, and Busy, BuildTimeout, BuildMemory, WorkerLost,
        ShuttingDown.
        """
        if self._closing.is_set():
            raise ShuttingDown("the service is shutting down")
        if self._admitted >= self._admissible:
            raise Busy(f"{self._admitted} specs are being planned or wait for it already")
        job: _Job[Q, R] = _Job(request, budget or self.budget)
        self._admitted += 1
        self._jobs.put(job)
        outcome = asyncio.wrap_future(job.future)
        try:
            await asyncio.wait((outcome,), timeout=self._wait_seconds)
            if job.future.cancel():  # Which it can be only as long as it waits.
                raise Busy(f"no worker was free within {self._wait_seconds:g} seconds")
            return await outcome
        except asyncio.CancelledError:
            outcome.cancel()
            if job.abandon():
                asyncio.get_running_loop().call_later(self._grace_seconds, job.end)
            raise
        finally:
            self._admitted -= 1

    def close(self) -> None:
        """Ends every worker; calls in progress raise WorkerLost, waiting ones ShuttingDown."""
        self._closing.set()
        for worker in self._workers:
            if worker is not None:
                worker.kill()
        for thread in self._threads:
            thread.join()
        while not self._jobs.empty():
            self._jobs.get().refuse(ShuttingDown("the service is shutting down"))

    def _keep(self, slot: int, context: BaseContext) -> None:
        """A slot's thread: a worker after another, each until it ends."""
        while not self._closing.is_set():
            try:
                with self._starting:
                    worker = self._workers[slot] = Worker(context, self._task)
                try:
                    self._attend(worker)
                    log.info("a worker ended", pid=worker.pid, calls=worker.calls)
                finally:
                    self._workers[slot] = None
                    worker.close()
            except Exception as error:  # noqa: BLE001 - a slot must go on
                log.error("a worker did not come up", reason=str(error))
                self._closing.wait(RETRY_SECONDS)

    def _attend(self, worker: Worker[Q, R]) -> None:
        """Gives `worker` jobs for as long as it lives and is not worn."""
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
        kept = WORN_SHARE * self.budget.memory_bytes
        return worker.calls >= CALLS or worker.grown_bytes > kept
