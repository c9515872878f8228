"""Single flight: work is shared, and lives as long as somebody wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from seedpoint.service.concurrency.single_flight import SingleFlight
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


def run(test: Callable[[SingleFlight[str, str], Work], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(SingleFlight(), Work())

    asyncio.run(main())


async def leave(flight: SingleFlight[str, str], key: str, work: Work) -> None:
    """Ask for the work, keep it and leave."""
    call = asyncio.create_task(flight.join(key, work))
    await rested()
    flight.keep(key)
    call.cancel()
    await asyncio.wait((call,))


def test_all_who_ask_at_once_share_one_result() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        calls = [asyncio.create_task(flight.join("a", work)) for _ in range(5)]
        await rested()
        work.go.set()
        assert await asyncio.gather(*calls) == ["result 1"] * 5
        assert len(flight) == 0

    run(test)


def test_who_asks_later_starts_anew() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        work.go.set()
        assert await flight.join("a", work) == "result 1"
        assert await flight.join("a", work) == "result 2"

    run(test)


def test_work_goes_on_when_one_of_two_leaves() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        first, second = (asyncio.create_task(flight.join("a", work)) for _ in range(2))
        await rested()
        first.cancel()
        await rested()
        work.go.set()
        assert await second == "result 1"
        assert work.cancelled == 0

    run(test)


def test_work_is_cancelled_when_the_last_leaves() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        call = asyncio.create_task(flight.join("a", work))
        await rested()
        call.cancel()
        await asyncio.wait((call,))
        assert "a" not in flight
        await rested()
        assert work.cancelled == 1

    run(test)


def test_kept_work_goes_on_without_anyone() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        call = asyncio.create_task(flight.join("a", work))
        await rested()
        flight.keep("a")
        call.cancel()
        await asyncio.wait((call,))
        assert "a" in flight
        work.go.set()
        assert await flight.join("a", work) == "result 1"
        assert (work.begun, work.cancelled) == (1, 0)

    run(test)


def test_kept_work_is_given_up_when_its_lease_ends() -> None:
    async def test(_: SingleFlight[str, str], work: Work) -> None:
        flight: SingleFlight[str, str] = SingleFlight(lease_seconds=0.05)
        await leave(flight, "a", work)
        assert "a" in flight
        await reached(lambda: "a" not in flight)
        await reached(lambda: work.cancelled == 1)

    run(test)


def test_who_asks_again_renews_the_lease() -> None:
    async def test(_: SingleFlight[str, str], work: Work) -> None:
        flight: SingleFlight[str, str] = SingleFlight(lease_seconds=1.0)
        for _ in range(15):
            await leave(flight, "a", work)
            await asyncio.sleep(0.1)
        work.go.set()
        assert await flight.join("a", work) == "result 1"
        assert (work.begun, work.cancelled) == (1, 0)

    run(test)


def test_a_lease_that_ends_takes_nothing_from_who_waits() -> None:
    async def test(_: SingleFlight[str, str], work: Work) -> None:
        flight: SingleFlight[str, str] = SingleFlight(lease_seconds=0.02)
        other = Work()
        call = asyncio.create_task(flight.join("a", work))
        await rested()
        flight.keep("a")
        await leave(flight, "b", other)
        await reached(lambda: "b" not in flight)  # The lease of "a" ended before.
        await rested()
        work.go.set()
        assert await call == "result 1"
        assert (work.cancelled, other.cancelled) == (0, 1)

    run(test)


def test_cancel_ends_all_work() -> None:
    async def test(flight: SingleFlight[str, str], work: Work) -> None:
        await leave(flight, "a", work)
        await leave(flight, "b", work)
        flight.cancel()
        await rested()
        assert work.cancelled == 2
        assert len(flight) == 0

    run(test)


def test_a_failure_reaches_everyone_who_waits() -> None:
    async def fail() -> str:
        await rested()
        raise OSError("gone")

    async def test(flight: SingleFlight[str, str], _: Work) -> None:
        calls = [asyncio.create_task(flight.join("a", fail)) for _ in range(2)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(failure) for failure in failures] == ["gone", "gone"]
        with pytest.raises(OSError, match="gone"):
            await flight.join("a", fail)

    run(test)
