"""A pool of worker processes, each replaced when it dies or must.

Of the standard library's pools, `ProcessPoolExecutor` breaks every future when one
worker dies, and neither can stop the one task that overruns. Here each worker has a
thread and a pipe of its own, so that what befalls it concerns one caller.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

import structlog

from service.errors import Busy, ShuttingDown
from service.workers import Task, Worker

log = structlog.get_logger("seedpoint.pool")

R = TypeVar("R")

LOOK_SECONDS = 0.5  # How often an idle worker is looked after.
RETRY_SECONDS = 1.0  # Between attempts to start a worker that does not come up.


class _Job(Generic[R]):
    """A body on its way through a worker, and the future of its result."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.future: Future[R] = Future()
        self._worker: Worker[R] | None = None
        self._lock = threading.Lock()

    def run(self, worker: Worker[R], timeout_seconds: float) -> None:
        """Settles the future, unless nobody waits for it any more."""
        with self._lock:
            if not self.future.set_running_or_notify_cancel():
                return
            self._worker = worker
        try:
            result = worker.call(self.body, timeout_seconds)
        except Exception as error:  # noqa: BLE001 - the caller's to handle
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        with self._lock:
            self._worker = None

    def abandon(self) -> None:
        """Nobody waits any more: the worker that is at it, if one is, is killed."""
        with self._lock:
            self.future.cancel()
            if self._worker is not None:
                self._worker.kill()

    def refuse(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Pool(Generic[R]):
    """`size` workers for `task`; up to `waiting` more calls may wait for one.

    Made and called in an event loop; `start` returns at once, and calls wait until a
    worker is warm.
    """

    def __init__(self, task: Task[R], *, size: int, waiting: int, timeout_seconds: float) -> None:
        self._task = task
        self._admissible = size + waiting
        self._timeout_seconds = timeout_seconds
        self._jobs: queue.Queue[_Job[R]] = queue.Queue()
        self._admitted = 0
        self._closing = threading.Event()
        self._starting = threading.Lock()  # multiprocessing starts one process at a time.
        self._workers: list[Worker[R] | None] = [None] * size
        self._threads: list[threading.Thread] = []

    def start(self, preload: Sequence[str] = ()) -> None:
        """Starts the workers; `preload` are modules that all of them share."""
        context = _context(preload)
        for slot in range(len(self._workers)):
            thread = threading.Thread(
                target=self._keep, args=(slot, context), name=f"pool-{slot}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    @property
    def warm(self) -> bool:
        """Whether every worker is up and warm."""
        return all(worker is not None and worker.warm for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._workers if worker is not None]

    async def call(self, body: bytes) -> R:
        """What the task returns for `body`. Cancelling it ends the worker that is at it.

        Raises what the task raises, and Busy, BuildTimeout, WorkerLost, ShuttingDown.
        """
        if self._closing.is_set():
            raise ShuttingDown("the service is shutting down")
        if self._admitted >= self._admissible:
            raise Busy(f"{self._admitted} specs are being planned or wait for it already")
        job: _Job[R] = _Job(body)
        self._admitted += 1
        self._jobs.put(job)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.abandon()
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
            with self._starting:
                worker = self._workers[slot] = Worker(context, self._task)
            try:
                self._attend(worker)
                log.info("a worker ended", pid=worker.pid)
            except Exception as error:  # noqa: BLE001 - a slot must go on
                log.error("a worker did not come up", reason=str(error))
                self._closing.wait(RETRY_SECONDS)
            finally:
                self._workers[slot] = None
                worker.close()

    def _attend(self, worker: Worker[R]) -> None:
        """Gives `worker` jobs for as long as it lives."""
        if self._closing.is_set():
            return
        worker.wait_until_warm()
        while not self._closing.is_set() and worker.is_alive():
            try:
                job = self._jobs.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if not worker.is_alive():  # Ended while idle: the job is for its successor.
                self._jobs.put(job)
                return
            job.run(worker, self._timeout_seconds)


def _context(preload: Sequence[str]) -> BaseContext:
    """Workers fork from a server that has imported `preload`: they start in milliseconds."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context
