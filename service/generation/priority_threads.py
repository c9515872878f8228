"""Threads that serve two queues: jobs that clients wait for first, background jobs second."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from seedpoint.service.generation.byte_source import Priority

R = TypeVar("R")

BACKGROUND_TURN = 8  # At least every eighth job is a background job, so that none starves.


class PriorityThreads:
    """Pool of `threads` threads with two queues; each queue's jobs begin in order of arrival.

    A background job begins if the other queue is empty, and at least every BACKGROUND_TURN-th
    time. `initializer` runs in each thread before its first job.
    """

    def __init__(self, threads: int, *, name: str, initializer: Callable[[], None]) -> None:
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=initializer
        )
        self._queues: tuple[deque[_Job], deque[_Job]] = (deque(), deque())
        self._taking = threading.Lock()
        self._passed = 0  # Jobs begun since the last background job.

    def submit(self, job: Callable[[], R], priority: Priority = "continuing") -> Future[R]:
        """Queue `job` and return its future, which can be cancelled until the job begins."""
        future: Future[R] = Future()
        self._queues[priority == "background"].append((future, job))
        # One turn per job; the job of a turn is chosen when the turn runs.
        self._executor.submit(self._turn)
        return future

    def close(self) -> None:
        """Cancel queued jobs at once and wait for those that have begun."""
        front, back = self._queues
        for future, _ in [*front, *back]:
            future.cancel()
        self._executor.shutdown(cancel_futures=True)

    def _turn(self) -> None:
        future, job = self._take()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - as ThreadPoolExecutor does
            future.set_exception(error)
        else:
            future.set_result(result)

    def _take(self) -> _Job:
        front, back = self._queues
        with self._taking:
            self._passed += 1
            if back and (not front or self._passed >= BACKGROUND_TURN):
                self._passed = 0
                return back.popleft()
            return front.popleft()


_Job = tuple[Future[Any], Callable[[], Any]]
