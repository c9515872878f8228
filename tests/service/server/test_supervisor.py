"""The supervisor: no process that hangs, dies or does not start keeps it from what it is told."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from seedpoint.service.server import multiprocess
from seedpoint.service.server.multiprocess import Member, Supervisor, Target
from tests.support import members
from tests.support.process import gone

FOREVER = 10_000.0  # Seconds: a test that had to wait so long would never end.


class Started:
    """Starts members and keeps their process ids."""

    def __init__(self, target: Target, settings: str = "") -> None:
        self.pids: set[int] = set()
        self._make: Callable[[], Member] = lambda: Member(target, settings, [])

    def __call__(self) -> Member:
        member = self._make()
        self.pids.add(member.pid)
        return member


def test_a_second_interrupt_ends_at_once_those_that_do_not_end() -> None:
    start = Started(members.deaf)
    assert Supervisor(start, count=1, patience_seconds=FOREVER).run()
    assert gone(start.pids)


def test_those_that_do_not_end_in_time_are_killed() -> None:
    start = Started(members.deaf)
    assert Supervisor(start, count=2, patience_seconds=0.0).run()
    assert gone(start.pids)


class Undying(Member):
    """Seems to live on when it was killed, as one does while the kernel frees its memory."""

    @property
    def exitcode(self) -> int | None:
        return None

    def close(self) -> None:
        raise AssertionError("it was waited for")


def test_those_that_were_killed_are_not_waited_for_long() -> None:
    made: list[Undying] = []

    def start() -> Member:
        made.append(Undying(members.deaf, "", []))
        return made[-1]

    supervisor = Supervisor(start, count=1, patience_seconds=0.0, killed_seconds=0.0)
    assert supervisor.run() and supervisor.has_left_some
    Member.close(made[0])


def test_one_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocess, "HUNG_TICKS", 2)
    start = Started(members.hang_once, str(tmp_path / "begun"))
    assert Supervisor(start, count=1, patience_seconds=FOREVER).run()
    assert len(start.pids) == 2 and gone(start.pids)


def test_an_application_that_does_not_start_ends_all() -> None:
    start = Started(members.fail)
    assert not Supervisor(start, count=2, patience_seconds=FOREVER).run()
    assert gone(start.pids)


def test_to_be_told_twice_is_to_be_told_once() -> None:
    start = Started(members.end)
    assert Supervisor(start, count=1, patience_seconds=FOREVER).run()
    assert gone(start.pids)


def test_a_process_that_the_system_refuses_is_started_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multiprocess, "RETRY_SECONDS", 0.0)
    start, refusals = Started(members.end), [OSError(24, "Too many open files")]

    def refused_once() -> Member:
        if refusals:
            raise refusals.pop()
        return start()

    assert Supervisor(refused_once, count=1, patience_seconds=FOREVER).run()
    assert len(start.pids) == 1


def test_the_handlers_of_signals_are_as_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Supervisor(Started(members.fail), count=1, patience_seconds=FOREVER).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
