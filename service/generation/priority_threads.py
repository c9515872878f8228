"""Threads that take jobs from two lanes: what clients wait for first, the rest beside it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")

BACKGROUND_TURN = 8  # Every so many jobs the background is first, so that it never stands still.


class Lanes:
    """`threads` threads; jobs of a lane are begun in the order they came.

    Those of the background lane are begun when the other lane is empty, and every
    BACKGROUND_TURN-th time besides. `initializer` runs in each thread before its first job.
    """

    def __init__(self, threads: int, *, name: str, initializer: Callable[[], None]) -> None:
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=initializer
        )
        self._lanes: tuple[deque[_Job], deque[_Job]] = (deque(), deque())
        self._taking = threading.Lock()
        self._passed = 0  # Jobs begun since the background was last first.

    def submit(self, job: Callable[[], R], *, background: bool = False) -> Future[R]:
        """The future of `job`; it can be cancelled until it is begun."""
        future: Future[R] = Future()
        self._lanes[background].append((future, job))
        # As many turns as jobs; which job a turn is for is found out when it comes.
        self._executor.submit(self._turn)
        return future

    def close(self) -> None:
        """Drops what is queued, at once, and waits for what is begun."""
        front, back = self._lanes
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
        front, back = self._lanes
        with self._taking:
            self._passed += 1
            if back and (not front or self._passed >= BACKGROUND_TURN):
                self._passed = 0
                return back.popleft()
            return front.popleft()


_Job = tuple[Future[Any], Callable[[], Any]]
