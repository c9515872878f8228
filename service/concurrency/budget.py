"""Bound on the total amount reserved at once, in any unit."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from weakref import WeakSet

from seedpoint.service.errors import Busy


@dataclass(slots=True, eq=False, weakref_slot=True)
class Reservation:
    """Share of a budget; it ends when it is released or no longer referenced."""

    amount: int
    owner: Hashable = None

    def release(self) -> None:
        self.amount = 0


class Budget:
    """Budget of `capacity` units, which only a sole owner may exceed. Belongs to one event loop.

    The owner of the memory that a reservation stands for also references the `Reservation`, so
    both are freed together. The owner releases it at the end, because an exception may reference
    the owner for much longer.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._reservations: WeakSet[Reservation] = WeakSet()

    @property
    def reserved(self) -> int:
        return sum(reservation.amount for reservation in self._reservations)

    def reserve(self, amount: int, refusal: str, *, owner: Hashable = None) -> Reservation:
        """Reserve `amount`; reservations of the same `owner`, if there is one, do not refuse it.

        Raises: Busy, with the message `refusal`, if less than `amount` is left.
        """
        others = sum(
            reservation.amount
            for reservation in self._reservations
            if owner is None or reservation.owner != owner
        )
        if others and others + amount > self._capacity:
            raise Busy(refusal)
        reservation = Reservation(amount, owner)
        self._reservations.add(reservation)
        return reservation
