"""Admission of work: a bounded queue, in order of rank, in front of a few slots."""

from __future__ import annotations

import asyncio
import itertools
import math
from bisect import insort
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from operator import attrgetter

from seedpoint.service.errors import Busy

FULL = "{waiting} callers wait already"
LATE = "no slot was free within {seconds:g} seconds"
_ORDER = attrgetter("rank", "number")
_AGE = attrgetter("number")


class Slot:
    """Place in the queue of an `Admission`; its holder may run while it is granted."""

    def __init__(self, rank: int, number: int) -> None:
        self.rank = rank
        self.number = number  # In order of arrival.
        self._settled = asyncio.Event()
        self._refusal: Busy | None = None

    @property
    def is_granted(self) -> bool:
        return self._settled.is_set() and self._refusal is None

    async def granted(self) -> None:
        """Wait for the slot. If slots are revocable, await it again before each step.

        Raises: Busy, if the queue has been cut.
        """
        while not self._settled.is_set():  # A slot may be revoked before the waiter runs.
            await self._settled.wait()
        if self._refusal is not None:
            raise self._refusal

    def grant(self) -> None:
        self._settled.set()

    def revoke(self) -> None:
        self._settled.clear()

    def refuse(self, refusal: Busy) -> None:
        self._refusal = refusal
        self._settled.set()


class Admission:
    """Bounded priority queue for `slots` slots. Belongs to one event loop.

    A free slot goes to the waiter of the lowest rank; among equals, to the first that came. At
    most `waiting` callers wait, for `wait_seconds` at most. A holder keeps its slot until it
    leaves, unless slots are `revocable`: then they always belong to the lowest ranks and, if
    there are two or more, one belongs to the oldest place, so that it ends eventually.

    `full` and `late` are the messages of Busy. They may name {waiting}, {admitted} (waiting or
    running) and {seconds}.
    """

    def __init__(
        self,
        slots: int,
        *,
        waiting: float = math.inf,
        wait_seconds: float | None = None,
        revocable: bool = False,
        full: str = FULL,
        late: str = LATE,
    ) -> None:
        self._slots = slots
        self._most_waiting = waiting
        self._wait_seconds = wait_seconds
        self._revocable = revocable
        self._messages = {"full": full, "late": late}
        self._numbers = itertools.count()
        self._running: list[Slot] = []
        self._waiting: list[Slot] = []  # In order of rank and arrival.
        self._cut = (math.inf, 0.0)  # A lower bound of the queue, and the time when it ends.

    def __len__(self) -> int:
        """Return the number of callers that run or wait."""
        return len(self._running) + len(self._waiting)

    @asynccontextmanager
    async def slot(self, rank: int = 0) -> AsyncIterator[Slot]:
        """Hold a slot for the duration of the block.

        Raises: Busy, if the queue is full or cut, or no slot was free in time.
        """
        if len(self._running) >= self._slots and self._is_full():
            raise self._busy("full")
        with self.place(rank) as slot:
            if not slot.is_granted:
                try:
                    async with asyncio.timeout(self._wait_seconds):
                        await slot.granted()
                except TimeoutError:
                    raise self._busy("late") from None
            yield slot

    @contextmanager
    def place(self, rank: int = 0) -> Iterator[Slot]:
        """Hold a place in the queue, without a bound, for the duration of the block."""
        slot = Slot(rank, next(self._numbers))
        insort(self._waiting, slot, key=_ORDER)
        self._grant()
        try:
            yield slot
        finally:
            for places in (self._running, self._waiting):
                if slot in places:
                    places.remove(slot)
            self._grant()

    def cut(self, waiting: int, *, seconds: float, refusal: str) -> None:
        """Let at most `waiting` callers wait for the next `seconds`.

        The newest callers beyond that are refused at once, with the message `refusal`.
        """
        self._cut = waiting, asyncio.get_running_loop().time() + seconds
        for slot in sorted(self._waiting, key=_AGE)[waiting:]:
            self._waiting.remove(slot)
            slot.refuse(Busy(refusal))

    def _grant(self) -> None:
        """Grant the free slots; if slots are revocable, all of them anew."""
        if self._revocable:
            for slot in self._running:
                slot.revoke()
                insort(self._waiting, slot, key=_ORDER)
            self._running = []
            if self._slots > 1 and self._waiting:
                self._start(min(self._waiting, key=_AGE))
        while self._waiting and len(self._running) < self._slots:
            self._start(self._waiting[0])

    def _start(self, slot: Slot) -> None:
        self._waiting.remove(slot)
        self._running.append(slot)
        slot.grant()

    def _is_full(self) -> bool:
        most, end = self._cut
        is_cut = asyncio.get_running_loop().time() < end
        return len(self._waiting) >= (
            min(most, self._most_waiting) if is_cut else self._most_waiting
        )

    def _busy(self, kind: str) -> Busy:
        numbers = {"waiting": len(self._waiting), "admitted": len(self)}
        return Busy(self._messages[kind].format(seconds=self._wait_seconds, **numbers))
