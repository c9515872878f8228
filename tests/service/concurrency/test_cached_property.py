"""Attributes computed once: by one thread, and without a lock that others of the class share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from seedpoint.service.concurrency.cached_property import locked_cached_property
from tests.support.waiting import eventually


class Thing:
    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.computed = 0

    @locked_cached_property
    def value(self) -> int:
        """The answer."""
        self.computed += 1
        if self.gate is not None:
            self.gate.wait(60)
        return 42


def test_all_who_want_it_at_once_share_one_computation() -> None:
    gate, all_want_it = threading.Event(), threading.Barrier(8)
    thing = Thing(gate)

    def want() -> int:
        all_want_it.wait(60)
        return thing.value

    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(want) for _ in range(8)]
        eventually(lambda: thing.computed)
        gate.set()
        assert [future.result() for future in found] == [42] * 8
    assert thing.computed == 1


def test_a_slow_one_does_not_keep_that_of_another_object_waiting() -> None:
    gate = threading.Event()
    slow, quick = Thing(gate), Thing()
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(lambda: slow.value)
        assert threads.submit(lambda: quick.value).result(60) == 42
        assert not waiting.done()
        gate.set()
        assert waiting.result(60) == 42


def test_it_tells_whether_it_is_known_and_what_it_is() -> None:
    thing = Thing()
    assert not locked_cached_property.is_cached(thing, "value")
    assert thing.value == 42
    assert locked_cached_property.is_cached(thing, "value")
    assert Thing.value.__doc__ == "What it is worth."
