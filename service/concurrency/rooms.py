"""Room for work that takes long: how much of it there may be, and more of what is small."""

from __future__ import annotations

from typing import Generic, TypeVar

from seedpoint.service.concurrency.single_flight import Flights

V = TypeVar("V")

SMALL_BYTES = 1 << 30  # Of what takes about a second,
SMALL_TENSORS = 1_000  # and whose plan takes little memory while it waits,
SMALL_MOST = 256  # there may be so many.


class Rooms(Generic[V]):
    """Work in progress by key, `most` at once; what is small has room of its own.

    So it never waits for what is large to end. Belongs to one event loop.
    """

    def __init__(self, most: int, *, lease_seconds: float) -> None:
        self._large: Flights[str, V] = Flights(most, lease_seconds=lease_seconds)
        self._small: Flights[str, V] = Flights(SMALL_MOST, lease_seconds=lease_seconds)

    def __contains__(self, key: str) -> bool:
        return key in self._large or key in self._small

    def of(self, size_bytes: int, tensors: int) -> Flights[str, V]:
        """Where work over so much belongs, which is always the same for one key."""
        is_small = size_bytes <= SMALL_BYTES and tensors <= SMALL_TENSORS
        return self._small if is_small else self._large

    def cancel(self) -> None:
        """Cancels everything in progress."""
        self._large.cancel()
        self._small.cancel()
