"""The dispatcher: whole tensors are ready before a thread gets the job that needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np
import pytest

from seedpoint.models.generation.whole_tensors import Raw, WholeMatrix, WholeTensor
from seedpoint.service.errors import Busy
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.dispatcher import Dispatcher, Job
from seedpoint.service.generation.priority_threads import PriorityThreads
from tests.support.waiting import rested

SIDE = 3000  # Its QR takes seconds, so a worker computes it.


def matrix(draw: int, side: int = SIDE) -> WholeTensor:
    return WholeMatrix((0, 0), draw, (side, side), (1.0).hex())


class Provider:
    """Provider whose tensors are ready when `go` is set; it refuses all of the priority "first"."""

    def __init__(self, *, refusing: bool = False) -> None:
        self.asked: list[tuple[WholeTensor, Priority]] = []
        self.go = asyncio.Event()
        self.ready_now: dict[WholeTensor, Raw] = {}
        self._refusing = refusing

    def at_hand(self, wholes: Sequence[WholeTensor]) -> list[Raw] | None:
        found = [self.ready_now[whole] for whole in wholes if whole in self.ready_now]
        return found if len(found) == len(wholes) else None

    async def ready(self, whole: WholeTensor, priority: Priority) -> Raw:
        self.asked.append((whole, priority))
        if self._refusing and priority == "first":
            raise Busy("later")
        await self.go.wait()
        return self.ready_now.setdefault(whole, np.zeros(1, np.uint8))


@pytest.fixture
def threads() -> Iterator[PriorityThreads]:
    made = PriorityThreads(1, name="test", initializer=lambda: None)
    yield made
    made.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_job_without_large_tensors_goes_to_a_thread_at_once(threads: PriorityThreads) -> None:
    async def test() -> None:
        provider = Provider()
        dispatcher = Dispatcher(threads, provider, "first")  # type: ignore[arg-type]
        small = Job(lambda: 1, [matrix(0, side=10)])
        assert await asyncio.wrap_future(dispatcher.dispatch(small)) == 1  # type: ignore[arg-type]
        assert provider.asked == []

    run(test)


def test_a_job_begins_when_its_tensors_are_ready_and_they_are_prepared_one_by_one(
    threads: PriorityThreads,
) -> None:
    async def test() -> None:
        provider = Provider()
        dispatcher = Dispatcher(threads, provider, "background")  # type: ignore[arg-type]
        jobs = [dispatcher.dispatch(Job(lambda n=n: n, [matrix(n)])) for n in range(2)]
        await rested()
        assert [whole.draw for whole, _ in provider.asked] == [0]
        provider.go.set()
        assert await asyncio.gather(*jobs) == [0, 1]
        assert {priority for _, priority in provider.asked} == {"background"}
        known = dispatcher.dispatch(Job(lambda: 2, [matrix(1)]))
        assert await asyncio.wrap_future(known) == 2  # type: ignore[arg-type]
        assert len(provider.asked) == 2

    run(test)


def test_only_a_stream_that_has_not_begun_may_be_refused(threads: PriorityThreads) -> None:
    async def test() -> None:
        provider = Provider(refusing=True)
        dispatcher = Dispatcher(threads, provider, "first")  # type: ignore[arg-type]
        with pytest.raises(Busy):
            await dispatcher.prepare([matrix(0, side=10), matrix(1), matrix(2)])
        provider.go.set()
        assert await dispatcher.dispatch(Job(lambda: 3, [matrix(2)])) == 3
        expected = [(matrix(1), "first"), (matrix(2), "continuing")]
        assert provider.asked == expected

    run(test)


def test_a_failure_of_a_tensor_is_the_failure_of_its_job(threads: PriorityThreads) -> None:
    class Failing(Provider):
        async def ready(self, whole: WholeTensor, priority: Priority) -> Raw:
            raise OSError("gone")

    async def test() -> None:
        dispatcher = Dispatcher(threads, Failing(), "continuing")  # type: ignore[arg-type]
        with pytest.raises(OSError, match="gone"):
            await dispatcher.dispatch(Job(lambda: 1, [matrix(0)]))

    run(test)
