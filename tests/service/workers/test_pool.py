"""The worker pool: what befalls a worker concerns one caller, and the pool recovers."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from seedpoint.service.errors import ShuttingDown
from seedpoint.service.workers.errors import (
    CallMemory,
    CallTimeout,
    NoWorker,
    WorkerDied,
    WorkerFailed,
)
from seedpoint.service.workers.pool import CALLS, Job, Pool
from seedpoint.service.workers.worker import CRASHED_SHARE, CallLimits, Worker
from tests.support.pool_tasks import TASK
from tests.support.waiting import reached, rested

MIB = 1 << 20
LIMITS = CallLimits(seconds=60, memory_bytes=256 * MIB)  # Time enough for all that ends by itself.
SHORT = CallLimits(seconds=0.3, memory_bytes=256 * MIB)  # For what never ends.


@asynccontextmanager
async def pool(
    *,
    size: int = 1,
    grace_seconds: float = 60,
    calls_per_worker: int = CALLS,
) -> AsyncIterator[Pool[bytes, bytes]]:
    made = Pool(
        TASK,
        size=size,
        limits=LIMITS,
        grace_seconds=grace_seconds,
        calls_per_worker=calls_per_worker,
    )
    made.start()
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Inside, the process does nothing: what it is given it is at until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def has_ended(worker: Worker[bytes, bytes]) -> bool:
    """Return whether its process has ended; the pool still finds it itself."""
    try:
        return bool(wait([worker.sentinel], 0))
    except (OSError, ValueError):  # The pool has found it.
        return True


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


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
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def folders() -> set[str]:
        """Those of workers, with a note in them."""
        return {note.relative_to(tmp_path).parts[0] for note in tmp_path.rglob("note")}

    async def test() -> None:
        async with pool() as workers:
            await workers.call(b"note x")
            assert len(folders()) == 1
            with suppress(WorkerDied):
                await workers.call(command)
        assert not folders()

    run(test)
    assert not list(tmp_path.iterdir())


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
