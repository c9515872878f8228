"""Hostile and heavy specs: a problem for who sends them, and nothing for anyone else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from seedpoint.models.spec.limits import Limits
from seedpoint.service.errors import BuildMemory, BuildTimeout, Busy, WorkerLost
from seedpoint.service.planning import planner_pools as building
from seedpoint.service.planning.planner_pools import PlannerPool
from seedpoint.service.workers.worker import CallLimits
from tests.support.pool_tasks import TASK
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp
from tests.support.waiting import eventually, reached, rested

LINEAR = {"type": "Linear", "in_features": 8, "out_features": 8}
HUGE = {"type": "Linear", "in_features": 2_000_000, "out_features": 2_000_000}
ORTHOGONAL = {"initializer": {"type": "orthogonal"}, "match": {"parameter": "weight"}}


def repeated(count: int, layer: dict[str, Any] = LINEAR) -> dict[str, Any]:
    return {"architecture": {"type": "Repeat", "count": count, "layer": layer}}


def orthogonal(generator: str) -> dict[str, Any]:
    return {"architecture": HUGE, "init": {"generator": generator, "rules": [ORTHOGONAL]}}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only very small specs are small."""
    monkeypatch.setattr(building, "SMALL", Limits(modules=4, tensors=4, matches=100))
    monkeypatch.setattr(building, "SMALL_WORK_BYTES", 1_000_000)


@pytest.fixture
def stopped() -> Iterator[Callable[[list[int]], None]]:
    """Stops processes until the test is over."""
    pids: list[int] = []

    def stop(these: list[int]) -> None:
        for pid in these:
            os.kill(pid, signal.SIGSTOP)
            pids.append(pid)

    yield stop
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # One that was ended, as it had stopped.
            os.kill(pid, signal.SIGCONT)


def test_a_large_spec_is_planned_by_workers_of_its_own(
    start: Callable[..., Running], small: None, stopped: Callable[[list[int]], None]
) -> None:
    service = start()
    stopped(service.state.builders.large.workers.pids)
    with ThreadPoolExecutor(1) as client:
        large = client.submit(service.issue, repeated(4))
        eventually(lambda: service.state.builders.large.workers.pids_at_work)
        assert service.issue(mlp()).status_code == 201
        assert not large.done()
        os.kill(service.state.builders.large.workers.pids[0], signal.SIGCONT)
        assert large.result().status_code == 201


def test_metrics_tell_of_both_pools(start: Callable[..., Running]) -> None:
    text = start(build_workers=2).http.get("/metrics").text
    assert 'seedpoint_workers_warm{pool="small"} 2.0' in text
    assert 'seedpoint_workers_warm{pool="large"} 1.0' in text
    assert 'seedpoint_specs_waiting{pool="small"} 0.0' in text


def test_more_large_specs_than_may_wait_are_told_to_come_back(
    start: Callable[..., Running], small: None, stopped: Callable[[list[int]], None]
) -> None:
    service = start(large_build_queue=1)
    stopped(service.state.builders.large.workers.pids)
    with ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(service.issue, repeated(4 + n)) for n in range(4)]
        eventually(lambda: sum(answer.done() for answer in answers) == 2)
        refused = [answer.result() for answer in answers if answer.done()]
        for answer in refused:
            assert_problem(answer, 503, "busy")
            assert answer.headers["retry-after"] == "1"
        os.kill(service.state.builders.large.workers.pids[0], signal.SIGCONT)
        assert sorted(answer.result().status_code for answer in answers) == [201, 201, 503, 503]


def test_large_tensors_are_made_by_workers_of_their_own(
    start: Callable[..., Running], small: None, stopped: Callable[[list[int]], None]
) -> None:
    service = start()
    stopped(service.state.builders.large.workers.pids)
    spec = mlp(hidden=100_000) | {"init": {"generator": "torch"}}
    with ThreadPoolExecutor(1) as client:
        large = client.submit(service.issue, spec)
        eventually(lambda: service.state.builders.large.workers.pids_at_work)
        assert service.issue(mlp() | {"init": {"generator": "torch"}}).status_code == 201
        assert not large.done()
        os.kill(service.state.builders.large.workers.pids[0], signal.SIGCONT)
        assert large.result().status_code == 201


def test_a_long_body_keeps_no_small_one_waiting(
    start: Callable[..., Running], stopped: Callable[[list[int]], None]
) -> None:
    service = start()
    stopped(service.state.builders.large.workers.pids)
    layers = [LINEAR | {"name": f"{'long' * 500}{number}"} for number in range(200)]
    with ThreadPoolExecutor(1) as client:
        long = client.submit(
            service.issue, {"architecture": {"type": "Sequential", "layers": layers}}
        )
        eventually(lambda: service.state.builders.large.workers.pids_at_work)
        assert service.issue(mlp()).status_code == 201
        assert not long.done()
        os.kill(service.state.builders.large.workers.pids[0], signal.SIGCONT)
        assert long.result().status_code == 201


@pytest.mark.parametrize(
    ("settings", "spec", "path"),
    [
        ({"max_modules": 5}, repeated(5), "architecture"),
        ({"max_tensors": 9}, repeated(5), "architecture"),
        ({"max_plan_bytes": 1000}, repeated(5), ""),
        ({}, orthogonal("philox-v1"), "init.rules.0.initializer"),
        ({}, orthogonal("torch"), "init.generator"),
        ({}, repeated(10**12), "architecture"),
    ],
)
def test_what_is_too_large_is_a_problem_at_its_place(
    start: Callable[..., Running], settings: dict[str, int], spec: dict[str, Any], path: str
) -> None:
    problem = assert_problem(start(**settings).issue(spec), 422, "invalid-spec")
    assert [error["path"] for error in problem["errors"]] == [path]


def slow(positions: int, seed: int) -> dict[str, Any]:
    """A model whose constructor takes minutes, as it writes a table of positions in Python."""
    config = {"model_type": "distilbert", "sinusoidal_pos_embds": True}
    architecture = {
        "type": "transformers",
        "config": config | {"max_position_embeddings": positions},
    }
    return {"architecture": architecture, "init": {"seed": seed}}


@pytest.mark.parametrize("alike", [True, False])
def test_models_that_nobody_can_count_keep_no_others_waiting(
    start: Callable[..., Running], alike: bool
) -> None:
    service = start(build_workers=2, build_timeout_seconds=5, build_queue=200)
    hostile = [slow(10**7 + (0 if alike else seed), seed) for seed in range(100)]
    with ThreadPoolExecutor(100) as clients:
        answers = [clients.submit(service.issue, spec) for spec in hostile]
        eventually(service.state.builders.small.admitted)
        others = itertools.count()
        while not all(answer.done() for answer in answers):
            assert service.issue(mlp(next(others))).status_code == 201
        assert next(others) > 0
        problems = Counter(answer.result().json()["type"] for answer in answers)
    kinds = {kind.rpartition(":")[2]: count for kind, count in problems.items()}
    assert kinds.keys() == {"busy", "build-timeout"}
    assert kinds["busy"] >= 80  # At once, when the first has proved to be slow.
    assert service.issue({"architecture": {"type": "preset", "name": "llama-tiny"}}).is_success


def test_what_was_large_once_is_known_whatever_its_seed(
    start: Callable[..., Running], stopped: Callable[[list[int]], None]
) -> None:
    service = start(build_workers=1, build_timeout_seconds=2)
    assert_problem(service.issue(slow(10**7, 1)), 422, "build-timeout")
    eventually(lambda: service.state.builders.warm)
    stopped(service.state.builders.small.workers.pids)  # It is not asked.
    assert_problem(service.issue(slow(10**7, 2)), 422, "build-timeout")


def test_what_takes_too_much_memory_is_a_problem_that_says_so(
    start: Callable[..., Running],
) -> None:
    service = start(build_memory_bytes=64 << 20)
    problem = assert_problem(service.issue(repeated(30_000)), 422, "build-memory")
    assert "more than 67108864 bytes of memory" in problem["detail"]
    message = f"make it smaller or simpler to plan: {problem['detail']}"
    assert problem["errors"] == [{"path": "architecture", "message": message}]
    assert service.issue(mlp()).status_code == 201


def test_a_hundred_hostile_specs_at_once_are_problems_and_harm_nobody(
    start: Callable[..., Running],
) -> None:
    """Each kind would take minutes or terabytes, were it built."""
    service = start(build_workers=2, build_timeout_seconds=8)
    hostile = [
        orthogonal("philox-v1"),
        orthogonal("torch"),
        repeated(99_000),
        repeated(10**9),
        repeated(9_000, {"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2}),
    ]
    done = threading.Event()
    answered = []

    def small_requests() -> None:
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            seed = 0
            while not done.is_set():
                seed += 1
                answer = client.post(
                    "/v1/checkpoints", json=mlp(seed), headers={"Prefer": "return=minimal"}
                )
                assert answer.status_code == 201, answer.text
                answered.append(seed)

    with ThreadPoolExecutor(101) as clients:
        small = clients.submit(small_requests)
        answers = list(clients.map(service.issue, (hostile * 20)))
        done.set()
        small.result()
    statuses = Counter((number % 5, answer.status_code) for number, answer in enumerate(answers))
    assert statuses.keys() <= {
        (0, 422),
        (1, 422),
        (3, 422),
        *((n, s) for n in (2, 4) for s in (422, 503)),
    }
    assert answered
    assert service.http.get("/readyz").status_code in {200, 503}


# --- one pool and its queue ----------------------------------------------------------


@contextlib.asynccontextmanager
async def planners(
    *, waiting: int = 8, wait_seconds: float = 60, seconds: float = 60, is_started: bool = True
) -> AsyncIterator[PlannerPool]:
    """A pool with one worker, which runs the commands of `pool_tasks`."""
    pool = PlannerPool(
        TASK,  # type: ignore[arg-type]
        size=1,
        waiting=waiting,
        wait_seconds=wait_seconds,
        limits=CallLimits(seconds, 256 << 20),
    )
    if is_started:
        pool.workers.start()
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.workers.close)


def call(pool: PlannerPool, command: bytes, more_bytes: int = 0) -> asyncio.Task[object]:
    return asyncio.create_task(pool.call(command, more_bytes=more_bytes))  # type: ignore[arg-type]


def test_one_spec_more_than_may_wait_is_refused_at_once() -> None:
    async def test() -> None:
        async with planners(waiting=1) as pool:
            calls = [call(pool, b"echo x") for _ in range(2)]
            await asyncio.sleep(0)  # Both are admitted, and no turn of the loop ends one.
            assert pool.admitted() == 2
            with pytest.raises(Busy, match=r"^2 specs are already being planned or waiting"):
                await call(pool, b"echo x")
            await asyncio.gather(*calls)
            assert pool.admitted() == 0
            await call(pool, b"echo y")

    asyncio.run(test())


@pytest.mark.parametrize("is_started", [True, False])
def test_a_spec_that_no_worker_takes_in_time_is_refused(is_started: bool) -> None:
    async def test() -> None:
        async with planners(wait_seconds=0.2, is_started=is_started) as pool:
            calls = []
            if is_started:
                await reached(lambda: pool.workers.warm)
                calls = [call(pool, b"hang")]
                await rested()
            with pytest.raises(Busy, match=r"^no worker was free within 0\.2 seconds$"):
                await call(pool, b"echo x")
            for each in calls:
                each.cancel()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("command", "seconds", "error", "message"),
    [
        (b"hang", 0.5, BuildTimeout, "the spec took longer than 0.5 seconds to plan"),
        (
            b"eat 300",
            60,
            BuildMemory,
            "the spec took more than 268435456 bytes of memory to plan",
        ),
        (
            b"leave",
            60,
            WorkerLost,
            "the worker that planned this spec ended (exit code 3); nothing was issued",
        ),
    ],
)
def test_a_failed_call_is_told_in_words_of_planning(
    command: bytes, seconds: float, error: type[Exception], message: str
) -> None:
    async def test() -> None:
        async with planners(seconds=seconds) as pool:
            await reached(lambda: pool.workers.warm)
            with pytest.raises(error) as failure:
                await call(pool, command)
            assert str(failure.value) == message

    asyncio.run(test())


def test_a_plan_may_be_given_more_memory_than_others() -> None:
    async def test() -> None:
        async with planners() as pool:
            await call(pool, b"eat 300", more_bytes=256 << 20)
            with pytest.raises(BuildMemory):
                await call(pool, b"eat 300")

    asyncio.run(test())
