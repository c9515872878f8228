"""Calls that are given up, refused or ended: they harm no other call."""

from __future__ import annotations

import asyncio

import pytest

from seedpoint.service.errors import ShuttingDown
from seedpoint.service.workers.errors import (
    NoWorker,
    WorkerDied,
    WorkerFailed,
)
from seedpoint.service.workers.pool import Job
from seedpoint.service.workers.worker import CallLimits
from tests.support.pools import LIMITS, pool, run, stopped
from tests.support.waiting import reached, rested


def test_a_call_that_no_worker_takes_in_time_is_never_run() -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            with stopped(pid):
                first = asyncio.create_task(workers.call(b"echo x"))
                await reached(lambda: workers.pids_at_work == [pid])
                with pytest.raises(NoWorker):
                    await workers.call(b"die", wait_seconds=0.1)
            await first
            assert (await workers.call(b"echo y")).startswith(b"y ")
            assert workers.pids == [pid]

    run(test)


def test_a_call_that_is_cancelled_ends_its_worker() -> None:
    async def test() -> None:
        async with pool(grace_seconds=0.1) as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            call = asyncio.create_task(workers.call(b"hang"))
            await reached(lambda: workers.pids_at_work == [pid])
            call.cancel()
            await reached(lambda: workers.warm and workers.pids != [pid])

    run(test)


def test_a_call_that_is_cancelled_and_soon_done_leaves_its_worker_to_others() -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            for _ in range(5):
                with stopped(pid):
                    call = asyncio.create_task(workers.call(b"echo x"))
                    await reached(lambda: workers.pids_at_work == [pid])
                    call.cancel()
                    await asyncio.wait((call,))
                assert (await workers.call(b"echo x")).startswith(b"x")
            assert workers.pids == [pid]

    run(test)


class Immortal:
    """A worker that answers at once, and must not be killed."""

    def call(self, request: bytes, limits: CallLimits) -> bytes:
        return request

    def kill(self) -> None:
        raise AssertionError("it is at another's call by now")


def test_the_grace_of_a_call_that_is_done_ends_nobody() -> None:
    job: Job[bytes, bytes] = Job(b"x", LIMITS)
    job.run(Immortal())  # type: ignore[arg-type]
    assert not job.abandon()
    job.end()
    assert job.future.result() == b"x"


def test_a_call_cancelled_while_it_waits_is_never_run() -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            with stopped(pid):
                first = asyncio.create_task(workers.call(b"echo x"))
                await reached(lambda: workers.pids_at_work == [pid])
                second = asyncio.create_task(workers.call(b"die"))
                await rested()
                second.cancel()
                await asyncio.wait((second,))
            await first
            await workers.call(b"echo x")
            assert workers.pids == [pid]

    run(test)


def test_what_the_task_refuses_reaches_the_caller_as_it_is() -> None:
    async def test() -> None:
        async with pool() as workers:
            with pytest.raises(ValueError, match="no such layer"):
                await workers.call(b"refuse no such layer")

    run(test)


def test_what_nobody_expected_reaches_the_caller_with_the_workers_traceback() -> None:
    async def test() -> None:
        async with pool() as workers:
            with pytest.raises(WorkerFailed, match="pool_tasks"):
                await workers.call(b"fail x")
            assert (await workers.call(b"echo y")).startswith(b"y ")

    run(test)


def test_closing_ends_what_is_in_progress_and_refuses_what_waits() -> None:
    async def test() -> None:
        async with pool() as workers:
            calls = [asyncio.create_task(workers.call(b"hang")) for _ in range(2)]
            await reached(lambda: workers.pids_at_work)
            await asyncio.to_thread(workers.close)
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(answer) for answer in answers] == [WorkerDied, ShuttingDown]
            with pytest.raises(ShuttingDown):
                await workers.call(b"echo x")

    run(test)
