"""Priority threads: the background yields but never starves, and jobs fail alone."""

from __future__ import annotations

import threading

from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.priority_threads import BACKGROUND_TURN, PriorityThreads
from tests.support.waiting import eventually

PRIORITIES: dict[str, Priority] = {"f": "first", "b": "background"}


def order_of(threads: PriorityThreads, plan: str) -> str:
    """Return the order in which a thread begins jobs: `b` in the background, `f` before them."""
    gate, begun = threading.Event(), []
    threads.submit(gate.wait)
    futures = [
        threads.submit(lambda name=name: begun.append(name), PRIORITIES[name])  # type: ignore[misc]
        for name in plan
    ]
    gate.set()
    for future in futures:
        future.result(60)
    return "".join(begun)


def test_the_background_gives_way_but_never_stands_still() -> None:
    threads = PriorityThreads(1, name="test", initializer=lambda: None)
    assert order_of(threads, "bbff") == "ffbb"
    begun = order_of(threads, "bbb" + "f" * 30)
    assert begun.index("b") < BACKGROUND_TURN
    assert begun.rstrip("b").count("b") == 3
    threads.close()


def test_a_job_that_fails_or_is_cancelled_is_its_own_affair() -> None:
    threads = PriorityThreads(1, name="test", initializer=lambda: None)
    gate = threading.Event()
    threads.submit(gate.wait)
    failing, dropped, last = (threads.submit(job) for job in (lambda: 1 / 0, int, int))
    assert dropped.cancel()
    gate.set()
    assert isinstance(failing.exception(60), ZeroDivisionError)
    assert last.result(60) == 0
    threads.close()


def test_closing_cancels_what_is_queued_in_both_queues() -> None:
    threads = PriorityThreads(1, name="test", initializer=lambda: None)
    gate = threading.Event()
    threads.submit(gate.wait)
    queued = [threads.submit(int, priority) for priority in PRIORITIES.values()]
    closing = threading.Thread(target=threads.close)
    closing.start()
    eventually(lambda: all(future.cancelled() for future in queued))
    assert closing.is_alive()  # It waits for what was begun.
    gate.set()
    closing.join(60)
    assert not closing.is_alive()
