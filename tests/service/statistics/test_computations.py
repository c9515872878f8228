"""Long computations: shared, bounded in number, in turn, and followed while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.statistics.computations import SMALL_BYTES, SMALL_TENSORS, Computations
from seedpoint.service.statistics.progress import Progress
from tests.support.waiting import reached, rested

LARGE = 2 * SMALL_BYTES


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


class Work:
    """Computations that return their names when they are told to go on."""

    def __init__(self, *, turns: int = 8, at_once: int = 1, small_at_once: int = 256) -> None:
        self.all: Computations[str] = Computations(
            Admission(turns, revocable=True),
            at_once=at_once,
            lease_seconds=60,
            small_at_once=small_at_once,
        )
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()

    async def ask(
        self, name: str, wait_seconds: float = 0, *, nbytes: int = LARGE, tensors: int = 1
    ) -> str | None:
        async def compute(progress: Progress) -> str:
            self.begun.append(name)
            await progress.add(1)
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            return name

        return await self.all.get(
            name, compute, bytes_total=nbytes, tensors=tensors, wait_seconds=wait_seconds
        )

    def states(self, names: str) -> list[object]:
        return [self.all.progress(name, LARGE)["state"] for name in names]


def test_no_more_are_begun_than_the_bound_allows() -> None:
    async def test() -> None:
        work = Work(at_once=1)
        assert await work.ask("a") is None
        assert await work.ask("b", 0.01) is None
        assert work.states("ab") == ["running", "not-begun"]
        assert await work.ask("a") is None  # It has its place already.
        later = asyncio.create_task(work.ask("b", 60))
        await rested()
        assert (work.begun, len(work.all)) == (["a"], 1)
        work.go.set()
        assert await later == "b"
        assert len(work.all) == 0

    run(test)


def test_who_leaves_before_there_was_a_place_leaves_nothing() -> None:
    async def test() -> None:
        work = Work(at_once=1)
        calls = [asyncio.create_task(work.ask(name, 60)) for name in "ab"]
        await rested()
        for call in reversed(calls):  # "a" had the place, and nobody else waits for it.
            call.cancel()
            await asyncio.wait((call,))
        assert await work.ask("c") is None
        assert (work.begun, work.cancelled) == (["a", "c"], ["a"])

    run(test)


def test_who_leaves_takes_nothing_from_who_waits_for_a_place_too() -> None:
    async def test() -> None:
        work = Work(at_once=1)
        assert await work.ask("a") is None
        patient = asyncio.create_task(work.ask("b", 60))
        assert await work.ask("b", 0.01) is None
        work.go.set()
        assert await patient == "b"

    run(test)


def test_more_who_ask_than_there_are_places_all_get_their_results() -> None:
    async def test() -> None:
        work = Work(small_at_once=1)
        work.go.set()
        names = [f"name {number}" for number in range(100)]
        asked = [work.ask(name, 60, nbytes=1) for name in names]
        assert await asyncio.gather(*asked) == names

    run(test)


def test_small_ones_are_told_by_bytes_and_by_tensors_and_have_places_of_their_own() -> None:
    async def test() -> None:
        work = Work(at_once=1, small_at_once=2)
        assert await work.ask("a", nbytes=SMALL_BYTES + 1) is None
        assert await work.ask("b", nbytes=1, tensors=SMALL_TENSORS + 1) is None
        for name in "cde":
            assert await work.ask(name, nbytes=SMALL_BYTES, tensors=SMALL_TENSORS) is None
        assert work.states("abcde") == [
            *("running", "not-begun", "running", "running", "not-begun"),
        ]

    run(test)


def test_the_smallest_goes_first_and_progress_says_who_waits() -> None:
    async def test() -> None:
        work = Work(turns=1, at_once=2)
        tasks = [
            asyncio.create_task(work.ask(name, 60, nbytes=nbytes))
            for name, nbytes in (("a", LARGE), ("b", 5))
        ]
        await rested()
        assert work.states("abc") == ["waiting", "running", "not-begun"]
        assert work.all.progress("b", LARGE)["bytes_done"] == 1
        work.go.set()
        assert await asyncio.gather(*tasks) == ["a", "b"]

    run(test)


def test_closing_cancels_all() -> None:
    async def test() -> None:
        work = Work(at_once=2)
        for name in "ab":
            assert await work.ask(name) is None
        work.all.close()
        await reached(lambda: work.cancelled == ["a", "b"])
        assert len(work.all) == 0

    run(test)
