"""Work that has numbered parts, done on the caller's thread alone or with helpers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor

Work = Callable[[int], None]
Each = Callable[[Work, range], None]
"""Calls a function with each of some numbers, in any order or at once; returns when all did."""


def serial(work: Work, numbers: range) -> None:
    """The `Each` of one thread: the caller's."""
    for number in numbers:
        work(number)


def helped(executor: Executor, threads: int) -> Each:
    """The `Each` of the caller's thread and up to `threads - 1` of the executor's.

    Every thread takes the next number when it is done with one. The caller never waits for
    a helper that has not begun, so an executor whose threads are all taken, or that the
    caller itself runs in, costs speed and nothing else. What `work` raises is raised.
    """

    def each(work: Work, numbers: range) -> None:
        rest, lock = iter(numbers), threading.Lock()

        def run() -> None:
            while True:
                with lock:
                    number = next(rest, None)
                if number is None:
                    return
                work(number)

        helpers = [executor.submit(run) for _ in range(min(threads, len(numbers)) - 1)]
        try:
            run()
        finally:
            for helper in helpers:
                if not helper.cancel():
                    helper.result()

    return each
