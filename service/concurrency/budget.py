"""A bound on what is held at once, in whatever unit it is counted."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakSet

from seedpoint.service.errors import Busy


@dataclass(slots=True, eq=False, weakref_slot=True)
class Hold:
    """A share of a budget, until it is given back or nobody refers to it any more."""

    amount: int

    def give_back(self) -> None:
        self.amount = 0


class Budget:
    """`most` may be held at once; who is alone may hold more. Belongs to one event loop.

    What has the memory that a share stands for refers to its `Hold` too, so that both go
    together. It gives it back at its end: an exception may refer to it for much longer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._holds: WeakSet[Hold] = WeakSet()

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self._holds)

    def take(self, amount: int, refusal: str) -> Hold:
        """A share. Raises Busy, which says `refusal`, when there is not so much left."""
        if (held := self.held) and held + amount > self._most:
            raise Busy(refusal)
        hold = Hold(amount)
        self._holds.add(hold)
        return hold
