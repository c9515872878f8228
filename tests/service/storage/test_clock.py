"""A wall clock that is set, forward or back, costs nobody an id that is in use."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.clock import TOLERANCE_NS, Instant, Steps
from seedpoint.service.storage.retention import QUIET_SECONDS, Policy, Retention
from seedpoint.service.storage.use_notes import ROUND_SECONDS, Uses
from tests.support.clocks import DAY_SECONDS, FakeClock
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

A_DAY = Policy(DAY_SECONDS, None, 10**12)


def put(store: CheckpointStore, number: int) -> str:
    """Store a plan and note its use, as if it were just issued; return its id."""
    plan = b"[%d]" % number
    id_ = hashlib.sha256(plan).hexdigest()
    store.put_plan(id_, plan, {})
    assert store.use(id_)
    return id_


def retention(store: CheckpointStore, clock: FakeClock, policy: Policy = A_DAY) -> Retention:
    """Return one that nobody is served by, past the quiet after its start."""
    made = Retention(store, policy, lambda _: True, clock=clock)
    clock.pass_(QUIET_SECONDS)
    return made


# --- steps -----------------------------------------------------------------------


@pytest.mark.parametrize("step", [-(10**15), -TOLERANCE_NS - 1, TOLERANCE_NS + 1, 10**15])
def test_a_step_is_told_once(step: int) -> None:
    steps = Steps(Instant(10**18, 5))
    assert steps.step_ns(Instant(10**18 + 60, 65)) == 0
    assert steps.step_ns(Instant(10**18 + 120 + step, 125)) == step
    assert steps.step_ns(Instant(10**18 + 180 + step, 185)) == 0


def test_a_clock_that_is_steered_does_not_step() -> None:
    hour_ns = 3600 * 10**9
    steps = Steps(Instant(0, 0))
    for hour in range(1, 10_000):
        assert steps.step_ns(Instant(hour * (hour_ns + hour_ns // 2000), hour * hour_ns)) == 0


# --- sweeps ------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2 * DAY_SECONDS, -2 * DAY_SECONDS])
def test_nothing_goes_for_two_rounds_after_a_step(
    store: CheckpointStore, clock: FakeClock, step: float
) -> None:
    used, idle = put(store, 1), put(store, 2)
    sweeping = retention(store, clock)
    clock.pass_(3 * DAY_SECONDS)
    store.use(used)
    clock.step(step)
    for _ in range(2):
        asyncio.run(sweeping.sweep())
        assert store.has_plan(used) and store.has_plan(idle)
        clock.pass_(ROUND_SECONDS)
    store.use(used)
    asyncio.run(sweeping.sweep())
    assert store.has_plan(used)
    assert not store.has_plan(idle)


def test_each_step_begins_the_wait_anew(store: CheckpointStore, clock: FakeClock) -> None:
    id_ = put(store, 1)
    sweeping = retention(store, clock)
    for _ in range(5):
        clock.step(2 * DAY_SECONDS)
        asyncio.run(sweeping.sweep())
        clock.pass_(0.9 * QUIET_SECONDS)
    asyncio.run(sweeping.sweep())
    assert store.has_plan(id_)
    clock.pass_(QUIET_SECONDS)
    asyncio.run(sweeping.sweep())
    assert not store.has_plan(id_)


def test_a_process_that_starts_after_the_step_waits_too(
    store: CheckpointStore, clock: FakeClock
) -> None:
    id_ = put(store, 1)
    clock.step(2 * DAY_SECONDS)
    starting = Retention(store, A_DAY, lambda _: True, clock=clock)
    asyncio.run(starting.sweep())
    assert store.has_plan(id_)


def test_tensors_that_wait_for_their_plan_stay_after_a_step(
    store: CheckpointStore, clock: FakeClock
) -> None:
    id_ = "ab" * 32
    store.put_materialized(id_, [b"tensors"])
    sweeping = retention(store, clock)
    clock.step(2 * DAY_SECONDS)
    asyncio.run(sweeping.sweep())
    assert store.materialized_version(id_) is not None


def test_a_use_is_seen_by_who_removes_though_the_clock_was_set_back(
    store: CheckpointStore, clock: FakeClock
) -> None:
    id_ = put(store, 1)
    (seen,) = store.entries()
    clock.step(-2 * DAY_SECONDS)
    assert store.use(id_)
    assert not store.remove(seen)
    assert store.has_plan(id_)


# --- use notes ---------------------------------------------------------------------


def test_after_a_step_what_was_used_has_the_age_that_it_has(
    store: CheckpointStore, clock: FakeClock
) -> None:
    uses, sweeping = Uses(store, clock=clock), retention(store, clock)
    old, young = put(store, 1), put(store, 2)
    uses.add(old)
    clock.pass_(0.6 * DAY_SECONDS)
    assert asyncio.run(uses.note(young))
    clock.step(2 * DAY_SECONDS)
    asyncio.run(sweeping.sweep())
    asyncio.run(uses.round())
    clock.pass_(0.5 * DAY_SECONDS)
    asyncio.run(sweeping.sweep())
    assert store.has_plan(young)
    assert not store.has_plan(old)


def test_what_one_process_uses_no_other_removes_after_a_step(
    store: CheckpointStore, clock: FakeClock
) -> None:
    uses, sweeping = Uses(store, clock=clock), retention(store, clock)
    asked, read, idle = (put(store, number) for number in range(3))
    uses.add(asked)
    uses.add(read)
    clock.step(2 * DAY_SECONDS)
    asyncio.run(sweeping.sweep())
    for _ in range(int(QUIET_SECONDS)):  # Asked every second.
        assert asyncio.run(uses.note(asked))
        uses.mark(read)
        clock.pass_(1)
    asyncio.run(uses.round())
    asyncio.run(sweeping.sweep())
    assert store.has_plan(asked) and store.has_plan(read)
    assert not store.has_plan(idle)


# --- in a service --------------------------------------------------------------------


def test_a_clock_that_jumps_two_days_and_back_takes_nothing_that_is_in_use(
    start: Callable[..., Running], clock: FakeClock
) -> None:
    service = start(store_max_age_seconds=DAY_SECONDS, clock=clock)
    store, retention = service.state.store, service.state.retention
    asked, idle = (service.issue(mlp(seed)).json() for seed in range(2))
    clock.pass_(QUIET_SECONDS)
    for step in (2 * DAY_SECONDS, -2 * DAY_SECONDS):
        clock.step(step)
        for _ in range(3):
            service.within(service.state.checkpoints.uses.round())
            service.within(retention.sweep())
            assert service.http.get(asked["links"]["self"]).status_code == 200
            clock.pass_(ROUND_SECONDS)
            assert store.has_plan(asked["id"]) and store.has_plan(idle["id"])
    for issued in (asked, idle):
        assert service.http.get(issued["links"]["files"]["model.safetensors"]).is_success


def test_what_is_read_for_longer_than_a_round_is_noted_again(
    start: Callable[..., Running], clock: FakeClock
) -> None:
    service = start(clock=clock)
    issued = service.issue(mlp()).json()
    (before,) = service.state.store.entries("plans")
    assert service.http.get(issued["links"]["files"]["model.safetensors"]).is_success
    (after,) = service.state.store.entries("plans")
    assert after == before
    service.within(service.state.checkpoints.uses.round())
    (after,) = service.state.store.entries("plans")
    assert after.used_ns > before.used_ns
    service.within(service.state.checkpoints.uses.round())
    (later,) = service.state.store.entries("plans")
    assert later == after


def test_what_nobody_asks_for_goes_once_the_clock_is_right(
    start: Callable[..., Running], clock: FakeClock
) -> None:
    service = start(store_max_age_seconds=DAY_SECONDS, clock=clock)
    id_ = service.issue(mlp()).json()["id"]
    clock.step(2 * DAY_SECONDS)
    service.within(service.state.retention.sweep())
    service.within(service.state.checkpoints.uses.round())
    clock.pass_(DAY_SECONDS)

    def gone() -> bool:
        service.within(service.state.retention.sweep())
        return not service.state.store.has_plan(id_)

    eventually(gone)
