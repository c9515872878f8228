"""Budget: bounded in total, but a sole owner is never refused."""

from __future__ import annotations

import pytest

from seedpoint.service.concurrency.budget import Budget
from seedpoint.service.errors import Busy


def test_who_is_alone_may_reserve_more_than_there_is() -> None:
    budget = Budget(10)
    first = budget.reserve(11, "no")
    with pytest.raises(Busy, match="later"):
        budget.reserve(1, "later")
    assert first.amount == 11


def test_a_reservation_ends_when_nobody_references_it() -> None:
    budget = Budget(10)
    first = budget.reserve(11, "no")
    del first
    both = [budget.reserve(5, "no"), budget.reserve(5, "no")]
    assert budget.reserved == sum(reservation.amount for reservation in both)


def test_a_reservation_ends_when_it_is_released() -> None:
    budget = Budget(10)
    first = budget.reserve(10, "no")
    first.release()
    assert budget.reserved == 0
    assert budget.reserve(10, "no").amount == 10


def test_an_owner_is_not_refused_for_what_it_has_reserved_itself() -> None:
    budget = Budget(10)
    mine = [budget.reserve(20, "no", owner="a"), budget.reserve(20, "no", owner="a")]
    with pytest.raises(Busy):
        budget.reserve(1, "no", owner="b")
    with pytest.raises(Busy):
        budget.reserve(1, "no")
    mine.clear()
    other = budget.reserve(5, "no", owner="b")
    with pytest.raises(Busy):
        budget.reserve(6, "no", owner="a")
    assert budget.reserve(5, "no", owner="a").amount + other.amount == 10
