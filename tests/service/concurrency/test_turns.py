"""Work that takes long: how much of it there is, whose turn it is, and what goes before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from seedpoint.service.concurrency.single_flight import Flights, Full
from seedpoint.service.concurrency.turns import Turn, Turns
from seedpoint.service.generation.priority_threads import BACKGROUND_TURN, Lanes
from seedpoint.service.statistics.progress import Board
from tests.support.waiting import eventually, rested


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# --- turns -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "sizes", "on"),
    [
        (1, [5, 9], [True, False]),
        (1, [9, 5], [False, True]),
        (1, [7, 7], [True, False]),
        (2, [9, 5, 3], [True, False, True]),
        (2, [1, 9, 5], [True, False, True]),
        (3, [9, 8, 7, 6], [True, False, True, True]),
        (2, [], []),
    ],
)
def test_the_oldest_and_the_smallest_go_on(running: int, sizes: list[int], on: list[bool]) -> None:
    async def test() -> None:
        turns = Turns(running)
        async with AsyncExitStack() as stack:
            taken = [await stack.enter_async_context(turns.turn(size)) for size in sizes]
            assert [turn.is_on for turn in taken] == on

    run(test)


def test_who_ends_makes_way_for_the_next() -> None:
    async def test() -> None:
        turns = Turns(1)
        async with turns.turn(5) as second:
            async with turns.turn(3) as first:
                assert (first.is_on, second.is_on) == (True, False)
                waiting = asyncio.create_task(second.come())
                await rested()
                assert not waiting.done()
            await waiting

    run(test)


def test_a_board_says_who_waits_and_who_runs() -> None:
    async def work(board: Board, name: str, size: int, go: asyncio.Event) -> None:
        async with board.showing(name, size) as progress:
            await progress.add(1)
            await go.wait()

    async def test() -> None:
        board, go = Board(Turns(1)), asyncio.Event()
        tasks = [asyncio.create_task(work(board, n, s, go)) for n, s in (("a", 9), ("b", 5))]
        await rested()
        shown = {name: board.document(name) for name in "abc"}
        assert [shown[name]["state"] for name in "abc"] == ["waiting", "running", "done"]
        assert shown["b"]["bytes_done"] == 1
        go.set()
        await asyncio.gather(*tasks)
        assert board.document("a")["state"] == "done"

    run(test)


def test_a_turn_that_has_passed_is_waited_for_again() -> None:
    async def test() -> None:
        turn = Turn(1)
        turn.set(on=True)
        await turn.come()
        turn.set(on=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turn.come(), 0.01)

    run(test)


# --- room ------------------------------------------------------------------------


def test_no_more_is_begun_than_there_is_room_for() -> None:
    async def test() -> None:
        flights: Flights[str, str] = Flights(1)
        go, begun = asyncio.Event(), []

        async def work(name: str) -> str:
            begun.append(name)
            await go.wait()
            return name

        assert await flights.within(0, "a", lambda: work("a")) is None
        with pytest.raises(Full):
            await flights.within(0.01, "b", lambda: work("b"))
        assert await flights.within(0, "a", lambda: work("a")) is None  # Has its room already.
        later = asyncio.create_task(flights.within(60, "b", lambda: work("b")))
        await rested()
        assert begun == ["a"]
        go.set()
        assert await later == "b"
        assert len(flights) == 0

    run(test)


def test_who_leaves_before_there_was_room_leaves_nothing() -> None:
    async def test() -> None:
        flights: Flights[str, None] = Flights(1)
        go = asyncio.Event()

        async def work() -> None:
            await go.wait()

        first = asyncio.create_task(flights.join("a", work))
        second = asyncio.create_task(flights.within(60, "b", work))
        await rested()
        second.cancel()
        await asyncio.wait((second,))
        first.cancel()  # The last who waited for it: its room is free.
        await asyncio.wait((first,))
        third = asyncio.create_task(flights.join("c", work))
        await rested()
        assert "c" in flights and "b" not in flights
        go.set()
        await third

    run(test)


# --- lanes -----------------------------------------------------------------------


def order_of(lanes: Lanes, plan: str) -> str:
    """In which order a thread begins jobs: `f` are of the first lane, `b` in the background."""
    gate, begun = threading.Event(), []
    lanes.submit(gate.wait)
    futures = [
        lanes.submit(lambda name=name: begun.append(name), background=name == "b")  # type: ignore[misc]
        for name in plan
    ]
    gate.set()
    for future in futures:
        future.result(60)
    return "".join(begun)


def test_the_background_gives_way_but_never_stands_still() -> None:
    lanes = Lanes(1, name="test", initializer=lambda: None)
    assert order_of(lanes, "bbff") == "ffbb"
    begun = order_of(lanes, "bbb" + "f" * 30)
    assert begun.index("b") < BACKGROUND_TURN
    assert begun.rstrip("b").count("b") == 3
    lanes.close()


def test_a_job_that_fails_or_is_cancelled_is_its_own_affair() -> None:
    lanes = Lanes(1, name="test", initializer=lambda: None)
    gate = threading.Event()
    lanes.submit(gate.wait)
    failing, dropped, last = (lanes.submit(job) for job in (lambda: 1 / 0, int, int))
    assert dropped.cancel()
    gate.set()
    assert isinstance(failing.exception(60), ZeroDivisionError)
    assert last.result(60) == 0
    lanes.close()


def test_closing_cancels_what_is_queued_in_both_lanes() -> None:
    lanes = Lanes(1, name="test", initializer=lambda: None)
    gate = threading.Event()
    lanes.submit(gate.wait)
    queued = [lanes.submit(int, background=background) for background in (False, True)]
    closing = threading.Thread(target=lanes.close)
    closing.start()
    eventually(lambda: all(future.cancelled() for future in queued))
    assert closing.is_alive()  # It waits for what was begun.
    gate.set()
    closing.join(60)
    assert not closing.is_alive()
