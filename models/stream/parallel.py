"""Numbered parts of work, run on the caller's thread alone or with helpers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor

Work = Callable[[int], None]
Each = Callable[[Work, range], None]
"""Function that calls `work` with each number, in any order or in parallel, and then returns."""

BLOCK_ELEMENTS = 1 << 16
"""Elements of a tensor in one numbered part."""


def serial(work: Work, numbers: range) -> None:
    """Run all parts on the caller's thread: the `Each` of one thread."""
    for number in numbers:
        work(number)


def helped(executor: Executor, threads: int) -> Each:
    """Return an `Each` of the caller's thread and up to `threads - 1` of the executor's.

    Every thread takes the next number when it finishes one. The caller never waits for a helper
    that has not started, so an executor that is fully occupied, or that runs the caller itself,
    costs only speed. Exceptions of `work` propagate.
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
