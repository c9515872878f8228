"""Bound on the total amount held at once, in any unit."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakSet

from seedpoint.service.errors import Busy


@dataclass(slots=True, eq=False, weakref_slot=True)
class Hold:
    """Share of a budget; it ends when it is given back or no longer referenced."""

    amount: int

    def give_back(self) -> None:
        self.amount = 0


class Budget:
    """Budget of `most` units, which only a sole holder may exceed. Belongs to one event loop.

    The owner of the memory that a share stands for also references its `Hold`, so both are
    freed together. The owner gives the share back when it ends, because an exception may
    reference the owner for much longer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._holds: WeakSet[Hold] = WeakSet()

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self._holds)

    def take(self, amount: int, refusal: str) -> Hold:
        """Take a share of `amount`.

        Raises: Busy, with the message `refusal`, if less than `amount` is left.
        """
        if (held := self.held) and held + amount > self._most:
            raise Busy(refusal)
        hold = Hold(amount)
        self._holds.add(hold)
        return hold
