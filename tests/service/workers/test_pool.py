"""The worker pool: what befalls a worker concerns one caller, and the pool recovers."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from seedpoint.service.workers import forkserver
from seedpoint.service.workers.errors import (
    CallMemory,
    CallTimeout,
    WorkerDied,
    WorkerFailed,
)
from seedpoint.service.workers.worker import CRASHED_SHARE, CallLimits, Worker
from tests.support.pools import LIMITS, MIB, SHORT, pool, run, stopped
from tests.support.waiting import reached


def has_ended(worker: Worker[bytes, bytes]) -> bool:
    """Return whether its process has ended; the pool still finds it itself."""
    try:
        return bool(wait([worker.sentinel], 0))
    except (OSError, ValueError):  # The pool has found it.
        return True


def test_a_call_waits_until_a_worker_is_warm_and_gets_its_result() -> None:
    async def test() -> None:
        async with pool() as workers:
            assert not workers.warm
            assert (await workers.call(b"echo hello")).startswith(b"hello ")
            assert workers.warm

    run(test)


def test_one_worker_serves_one_call_after_another() -> None:
    async def test() -> None:
        async with pool() as workers:
            answers = await asyncio.gather(*(workers.call(b"echo x") for _ in range(5)))
            assert len(set(answers)) == 1

    run(test)


@pytest.mark.parametrize(
    ("command", "how"),
    [
        (b"die", r"was killed \(SIGKILL\), probably because the machine ran out of memory"),
        (b"crash", r"crashed \(SIGSEGV\)"),
        (b"leave", "exit code 3"),
    ],
)
def test_a_worker_that_ends_is_told_to_its_caller_and_replaced(command: bytes, how: str) -> None:
    async def test() -> None:
        async with pool() as workers:
            before = await workers.call(b"echo x")
            with pytest.raises(WorkerDied, match=how):
                await workers.call(command)
            assert await workers.call(b"echo x") != before

    run(test)


@pytest.mark.parametrize("command", [b"echo x", b"die"])
def test_a_worker_s_temporary_files_go_with_it(
    command: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forkserver.start()  # So that the server's own folder is elsewhere.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def folders() -> set[str]:
        """The folders of workers that have a note in them."""
        return {note.relative_to(tmp_path).parts[0] for note in tmp_path.rglob("note")}

    async def test() -> None:
        async with pool() as workers:
            await workers.call(b"note x")
            assert len(folders()) == 1
            with suppress(WorkerDied):
                await workers.call(command)
        await reached(lambda: not list(tmp_path.iterdir()))  # A pool on busy cores closes late.

    run(test)


def test_a_worker_that_dies_harms_no_other_call() -> None:
    async def test() -> None:
        async with pool(size=2) as workers:
            commands = [b"die" if number % 3 == 0 else b"echo x" for number in range(12)]
            calls = [workers.call(command) for command in commands]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            lost = [isinstance(answer, WorkerDied) for answer in answers]
            assert lost == [command == b"die" for command in commands]

    run(test)


def test_a_worker_killed_while_idle_is_replaced_before_anyone_asks() -> None:
    async def test() -> None:
        async with pool() as workers:
            await workers.call(b"echo x")
            (pid,) = workers.pids
            os.kill(pid, 9)
            await reached(lambda: workers.warm and workers.pids != [pid])
            assert (await workers.call(b"echo y")).startswith(b"y ")

    run(test)


def test_a_worker_killed_just_before_a_call_costs_no_one_an_answer() -> None:
    async def test() -> None:
        async with pool() as workers:
            await workers.call(b"echo x")
            (worker,) = workers.workers
            os.kill(worker.pid, 9)
            await reached(lambda: has_ended(worker))
            assert (await workers.call(b"echo y")).startswith(b"y ")

    run(test)


def test_a_worker_that_does_not_read_is_not_waited_for() -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            with (
                stopped(workers.pids[0]),
                pytest.raises(CallTimeout, match=r"longer than 0\.3 seconds"),
            ):
                await workers.call(b"echo " + b"x" * 4_000_000, SHORT)  # More than the pipe takes.
            assert (await workers.call(b"echo y")).startswith(b"y ")

    run(test)


@pytest.mark.parametrize("command", [b"sleep 60", b"hang", b"spin"])
def test_a_call_beyond_the_time_limit_ends_its_worker(command: bytes) -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            with pytest.raises(CallTimeout, match=r"longer than 0\.3 seconds"):
                await workers.call(command, SHORT)
            assert (await workers.call(b"echo y")).startswith(b"y ")
            assert workers.pids != [pid]

    run(test)


@pytest.mark.parametrize("command", [b"eat 300", b"eat_shared 300", b"abort"])
def test_a_call_that_takes_too_much_memory_ends_its_worker(command: bytes) -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (pid,) = workers.pids
            with pytest.raises(CallMemory, match=f"more than {256 * MIB} bytes of memory"):
                await workers.call(command)
            assert (await workers.call(b"echo y")).startswith(b"y ")
            assert workers.pids != [pid]

    run(test)


def test_a_crash_when_much_memory_was_taken_is_for_want_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with pool() as workers:
            await reached(lambda: workers.warm)
            (worker,) = workers.workers
            crash = tmp_path / "crash"
            call = asyncio.create_task(workers.call(b"crash_after 200 %b" % bytes(crash)))
            much = CRASHED_SHARE * LIMITS.memory_bytes
            await reached(lambda: worker.seen_bytes > much)
            crash.touch()
            with pytest.raises(CallMemory, match=f"more than {256 * MIB} bytes of memory"):
                await call
            assert (await workers.call(b"echo y")).startswith(b"y ")
            assert workers.pids != [worker.pid]

    run(test)


def test_a_call_may_be_given_more_memory_than_others() -> None:
    async def test() -> None:
        async with pool() as workers:
            await workers.call(b"eat 300", CallLimits(60, 512 * MIB))
            with pytest.raises(CallMemory):
                await workers.call(b"eat 300")

    run(test)


def test_the_addresses_of_phantom_tensors_are_no_memory() -> None:
    async def test() -> None:
        async with pool() as workers:
            assert (await workers.call(b"reserve 16")).startswith(b"16 ")

    run(test)


def test_a_worker_that_has_served_long_enough_is_replaced() -> None:
    async def test() -> None:
        async with pool(calls_per_worker=3) as workers:
            answers = [await workers.call(b"echo x") for _ in range(7)]
            assert [answers.count(answer) for answer in dict.fromkeys(answers)] == [3, 3, 1]

    run(test)


def test_a_worker_that_has_grown_is_replaced() -> None:
    async def test() -> None:
        async with pool() as workers:
            answers = [await workers.call(b"keep 50") for _ in range(5)]
            assert [answers.count(answer) for answer in dict.fromkeys(answers)] == [3, 2]

    run(test)


@pytest.mark.timeout(300)
def test_the_pool_outlives_the_server_that_its_workers_fork_from() -> None:
    async def test() -> None:
        async with pool() as workers:
            before = await workers.call(b"echo x")
            _, old, server = before.split()
            os.kill(int(server), signal.SIGKILL)
            # Another server imports all that workers need.
            await reached(lambda: workers.warm and workers.pids != [int(old)], seconds=200)
            assert (await workers.call(b"echo y")).startswith(b"y ")

    run(test)


def test_whatever_befalls_many_calls_at_once_concerns_each_alone() -> None:
    outcomes: dict[bytes, object] = {
        b"echo x": bytes,
        b"die": WorkerDied,
        b"crash": WorkerDied,
        b"leave": WorkerDied,
        b"hang": CallTimeout,
        b"eat 300": CallMemory,
        b"refuse x": ValueError,
        b"fail x": WorkerFailed,
    }

    async def test() -> None:
        async with pool(size=2) as workers:
            await reached(lambda: workers.warm)
            commands = [*outcomes] * 3
            calls = [workers.call(c, SHORT if c == b"hang" else LIMITS) for c in commands]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(answer) for answer in answers] == [outcomes[c] for c in commands]

    run(test)
