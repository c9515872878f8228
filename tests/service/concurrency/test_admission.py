"""Admission: few at once, in order, a bounded queue, and nothing lost when callers leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.errors import Busy
from tests.support.waiting import reached, rested


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class Work:
    """Work that holds a slot until it is told to end, and notes the order in which it begins."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.begun: list[int] = []
        self.end = asyncio.Event()

    async def do(self, name: int, rank: int = 0) -> None:
        async with self.admission.slot(rank):
            self.begun.append(name)
            await self.end.wait()

    def start(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.do(name)) for name in range(count)]


# --- order -----------------------------------------------------------------------


def test_few_run_at_once_in_order_of_arrival() -> None:
    async def test() -> None:
        work = Work(Admission(2))
        tasks = work.start(30)
        await rested()
        assert work.begun == [0, 1]
        assert len(work.admission) == 30
        work.end.set()
        await asyncio.gather(*tasks)
        assert work.begun == list(range(30))
        assert len(work.admission) == 0

    run(test)


def test_the_lowest_rank_goes_first_but_takes_no_slot_from_a_holder() -> None:
    async def test() -> None:
        work = Work(Admission(1))
        ranks = [5, 9, 2, 9, 2]
        tasks = [asyncio.create_task(work.do(n, rank)) for n, rank in enumerate(ranks)]
        await rested()
        assert work.begun == [0]
        work.end.set()
        await asyncio.gather(*tasks)
        assert work.begun == [0, 2, 4, 1, 3]

    run(test)


# --- bounds ----------------------------------------------------------------------


def test_a_full_queue_refuses_the_next_at_once_with_the_message_given() -> None:
    async def test() -> None:
        full = "{waiting} wait, {admitted} in all"
        work = Work(Admission(1, waiting=3, full=full))
        tasks = work.start(6)
        await rested()
        assert [task.done() for task in tasks] == [False] * 4 + [True] * 2
        with pytest.raises(Busy, match=r"^3 wait, 4 in all$"):
            await tasks[5]
        work.end.set()
        await asyncio.gather(*tasks[:4])

    run(test)


def test_a_queue_of_none_still_gives_a_free_slot() -> None:
    async def test() -> None:
        work = Work(Admission(1, waiting=0))
        work.end.set()
        for _ in range(3):
            await work.do(7)
        assert work.begun == [7, 7, 7]

    run(test)


def test_who_leaves_or_has_waited_too_long_keeps_no_slot() -> None:
    async def test() -> None:
        work = Work(Admission(1, wait_seconds=0.02))
        first, leaver, late = work.start(3)
        await rested()
        leaver.cancel()
        with pytest.raises(Busy, match=r"no slot was free within 0\.02 seconds"):
            await late
        work.end.set()
        await first
        for _ in range(3):
            await work.do(7)
        assert work.begun == [0, 7, 7, 7]

    run(test)


def test_a_slot_that_comes_as_its_owner_leaves_goes_on_to_the_next() -> None:
    async def test() -> None:
        work = Work(Admission(1))
        first, leaver, last = work.start(3)
        await rested()
        first.cancel()
        await asyncio.sleep(0)  # Its slot is passed on, and the next does not know of it yet.
        leaver.cancel()
        work.end.set()
        await last
        assert work.begun == [0, 2]

    run(test)


def test_a_cut_refuses_the_newest_at_once_and_all_who_come_later() -> None:
    async def test() -> None:
        work = Work(Admission(1, waiting=100))
        tasks = work.start(1 + 50)
        await rested()
        work.admission.cut(8, seconds=60, refusal="slow work")
        await rested()
        assert [task.done() for task in tasks] == [False] * (1 + 8) + [True] * (50 - 8)
        with pytest.raises(Busy):
            await work.do(99)
        work.end.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(str(outcome) == "slow work" for outcome in outcomes) == 50 - 8
        assert work.begun == list(range(1 + 8))

    run(test)


def test_a_cut_refuses_the_newest_whatever_their_rank() -> None:
    async def test() -> None:
        work = Work(Admission(1))
        ranks = [0, 3, 2, 1]
        tasks = [asyncio.create_task(work.do(n, rank)) for n, rank in enumerate(ranks)]
        await rested()
        work.admission.cut(2, seconds=60, refusal="slow work")
        work.end.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["None"] * 3 + ["slow work"]
        assert work.begun == [0, 2, 1]

    run(test)


def test_a_cut_ends() -> None:
    async def test() -> None:
        work = Work(Admission(1, waiting=100))
        tasks = work.start(3)
        await rested()
        work.admission.cut(2, seconds=0.05, refusal="slow work")
        with pytest.raises(Busy):
            await work.do(99)

        await asyncio.sleep(0.1)
        last = asyncio.create_task(work.do(3))
        await rested()
        assert not last.done()
        work.end.set()
        await asyncio.gather(*tasks, last)
        assert work.begun == [0, 1, 2, 3]

    run(test)


# --- revocable slots -------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "ranks", "granted"),
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
def test_revocable_slots_belong_to_the_oldest_and_to_the_lowest_ranks(
    slots: int, ranks: list[int], granted: list[bool]
) -> None:
    async def test() -> None:
        admission = Admission(slots, revocable=True)
        with ExitStack() as stack:
            places = [stack.enter_context(admission.place(rank)) for rank in ranks]
            assert [slot.is_granted for slot in places] == granted

    run(test)


def test_who_ends_makes_way_for_the_next() -> None:
    async def test() -> None:
        admission = Admission(1, revocable=True)
        with admission.place(5) as second:
            with admission.place(3) as first:
                assert (first.is_granted, second.is_granted) == (True, False)
                waiting = asyncio.create_task(second.granted())
                await rested()
                assert not waiting.done()
            await waiting

    run(test)


def test_the_oldest_gets_a_slot_as_soon_as_it_is_the_oldest() -> None:
    async def test() -> None:
        admission = Admission(2, revocable=True)
        with ExitStack() as oldest, ExitStack() as others:
            oldest.enter_context(admission.place(9))
            second, *small = [others.enter_context(admission.place(r)) for r in (8, 1, 2)]
            assert [slot.is_granted for slot in (second, *small)] == [False, True, False]
            oldest.close()
            assert [slot.is_granted for slot in (second, *small)] == [True, True, False]

    run(test)


def test_a_slot_that_was_revoked_is_waited_for_again() -> None:
    async def test() -> None:
        admission = Admission(1, revocable=True)
        with admission.place(5) as slot:
            await slot.granted()
            with admission.place(3):
                waiting = asyncio.create_task(slot.granted())
                await rested()
                assert not waiting.done()
            await reached(waiting.done)

    run(test)


def test_a_slot_revoked_before_its_waiter_ran_is_waited_for_again() -> None:
    async def test() -> None:
        admission = Admission(1, revocable=True)
        with ExitStack() as smaller, admission.place(5) as slot:
            smaller.enter_context(admission.place(3))
            waiting = asyncio.create_task(slot.granted())
            await rested()
            smaller.close()
            with admission.place(4):
                await rested()
                assert not waiting.done()
            await waiting

    run(test)
