"""Single flight: work is shared, and lives as long as somebody wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from seedpoint.service.concurrency.single_flight import Flights
from tests.support.waiting import reached, rested


class Work:
    """Counts how often it is begun, and how it ends."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"result {self.begun}"


def run(test: Callable[[Flights[str, str], Work], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Flights(), Work())

    asyncio.run(main())


def test_all_who_ask_at_once_share_one_result() -> None:
    async def test(flights: Flights[str, str], work: Work) -> None:
        calls = [asyncio.create_task(flights.join("a", work)) for _ in range(5)]
        await rested()
        work.go.set()
        assert await asyncio.gather(*calls) == ["result 1"] * 5
        assert len(flights) == 0

    run(test)


def test_who_asks_later_starts_anew() -> None:
    async def test(flights: Flights[str, str], work: Work) -> None:
        work.go.set()
        assert await flights.join("a", work) == "result 1"
        assert await flights.join("a", work) == "result 2"

    run(test)


def test_work_goes_on_when_one_of_two_leaves() -> None:
    async def test(flights: Flights[str, str], work: Work) -> None:
        first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
        await rested()
        first.cancel()
        await rested()
        work.go.set()
        assert await second == "result 1"
        assert work.cancelled == 0

    run(test)


def test_work_is_cancelled_when_the_last_leaves() -> None:
    async def test(flights: Flights[str, str], work: Work) -> None:
        call = asyncio.create_task(flights.join("a", work))
        await rested()
        call.cancel()
        await asyncio.wait((call,))
        assert "a" not in flights
        await rested()
        assert work.cancelled == 1

    run(test)


def test_kept_work_goes_on_without_anyone() -> None:
    async def test(flights: Flights[str, str], work: Work) -> None:
        call = asyncio.create_task(flights.join("a", work))
        await rested()
        flights.keep("a")
        call.cancel()
        await asyncio.wait((call,))
        assert "a" in flights
        work.go.set()
        assert await flights.join("a", work) == "result 1"
        assert (work.begun, work.cancelled) == (1, 0)

    run(test)


def test_kept_work_is_given_up_when_its_lease_ends() -> None:
    async def test(_: Flights[str, str], work: Work) -> None:
        flights: Flights[str, str] = Flights(lease_seconds=0.05)
        assert await flights.within(0, "a", work) is None
        assert "a" in flights
        await reached(lambda: "a" not in flights)
        await reached(lambda: work.cancelled == 1)

    run(test)


def test_who_asks_again_renews_the_lease() -> None:
    async def test(_: Flights[str, str], work: Work) -> None:
        flights: Flights[str, str] = Flights(lease_seconds=1.0)
        for _ in range(15):
            assert await flights.within(0.1, "a", work) is None
        work.go.set()
        assert await flights.within(1, "a", work) == "result 1"
        assert (work.begun, work.cancelled) == (1, 0)

    run(test)


def test_a_lease_that_ends_takes_nothing_from_who_waits() -> None:
    async def test(_: Flights[str, str], work: Work) -> None:
        flights: Flights[str, str] = Flights(lease_seconds=0.02)
        call = asyncio.create_task(flights.join("a", work))
        await rested()
        flights.keep("a")
        await reached(lambda: not flights._flights["a"].kept)
        await rested()
        work.go.set()
        assert await call == "result 1"
        assert work.cancelled == 0

    run(test)


def test_a_failure_reaches_everyone_who_waits() -> None:
    async def fail() -> str:
        await rested()
        raise OSError("gone")

    async def test(flights: Flights[str, str], _: Work) -> None:
        calls = [asyncio.create_task(flights.join("a", fail)) for _ in range(2)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(failure) for failure in failures] == ["gone", "gone"]
        with pytest.raises(OSError, match="gone"):
            await flights.join("a", fail)

    run(test)
