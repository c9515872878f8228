"""Turns: a few at once, in order, and fewer who wait where some took long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from seedpoint.service.concurrency.lane import SHORT, Lane
from seedpoint.service.errors import Busy
from tests.support.waiting import rested


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class Work:
    """Takes turns, and notes who has one."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.begun: list[int] = []
        self.end = asyncio.Event()

    async def do(self, name: int) -> None:
        async with self.lane.turn():
            self.begun.append(name)
            await self.end.wait()

    def start(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.do(name)) for name in range(count)]


def test_turns_are_few_and_come_in_order() -> None:
    async def test() -> None:
        work = Work(Lane(at_once=2, waiting=100, wait_seconds=60))
        tasks = work.start(30)
        await rested()
        assert work.begun == [0, 1]
        work.end.set()
        await asyncio.gather(*tasks)
        assert work.begun == list(range(30))

    run(test)


def test_no_more_wait_than_there_is_room_for() -> None:
    async def test() -> None:
        work = Work(Lane(at_once=1, waiting=3, wait_seconds=60))
        tasks = work.start(6)
        await rested()
        assert [task.done() for task in tasks] == [False] * 4 + [True] * 2
        with pytest.raises(Busy):
            await tasks[5]
        work.end.set()
        await asyncio.gather(*tasks[:4])

    run(test)


def test_where_some_took_long_the_newest_are_refused_at_once() -> None:
    async def test() -> None:
        lane = Lane(at_once=1, waiting=100, wait_seconds=60)
        work = Work(lane)
        tasks = work.start(1 + 50)
        await rested()
        lane.took_long()
        await rested()
        assert [task.done() for task in tasks] == [False] * (1 + SHORT) + [True] * (50 - SHORT)
        with pytest.raises(Busy):
            await work.do(99)
        work.end.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(outcome, Busy) for outcome in outcomes) == 50 - SHORT
        assert work.begun == list(range(1 + SHORT))

    run(test)


def test_who_leaves_or_has_waited_too_long_keeps_no_turn() -> None:
    async def test() -> None:
        work = Work(Lane(at_once=1, waiting=100, wait_seconds=0.02))
        first, leaver, late = work.start(3)
        await rested()
        leaver.cancel()
        with pytest.raises(Busy, match="no worker was free within"):
            await late
        work.end.set()
        await first
        for _ in range(3):
            await work.do(7)
        assert work.begun == [0, 7, 7, 7]

    run(test)


def test_a_turn_that_comes_as_its_owner_leaves_goes_on_to_the_next() -> None:
    async def test() -> None:
        work = Work(Lane(at_once=1, waiting=100, wait_seconds=60))
        first, leaver, last = work.start(3)
        await rested()
        first.cancel()
        await asyncio.sleep(0)  # Its turn is given on, and the next does not know of it yet.
        leaver.cancel()
        work.end.set()
        await last
        assert work.begun == [0, 2]

    run(test)
