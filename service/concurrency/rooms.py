"""Bounds on slow work in progress, separate for small and large work."""

from __future__ import annotations

from typing import Generic, TypeVar

from seedpoint.service.concurrency.single_flight import Flights

V = TypeVar("V")

SMALL_BYTES = 1 << 30  # Limit of small work, in bytes generated: about a second.
SMALL_TENSORS = 1_000  # Limit of small work, in tensors: their plan takes little memory.
SMALL_MOST = 256  # Limit of small work in progress at once.


class Rooms(Generic[V]):
    """Work in progress by key, with at most `most` large items. Belongs to one event loop.

    Small work has a bound of its own (SMALL_MOST), so it never waits for large work to end.
    """

    def __init__(self, most: int, *, lease_seconds: float) -> None:
        self._large: Flights[str, V] = Flights(most, lease_seconds=lease_seconds)
        self._small: Flights[str, V] = Flights(SMALL_MOST, lease_seconds=lease_seconds)

    def __contains__(self, key: str) -> bool:
        return key in self._large or key in self._small

    def of(self, size_bytes: int, tensors: int) -> Flights[str, V]:
        """Return the flights for work of this size, which is always the same for one key."""
        is_small = size_bytes <= SMALL_BYTES and tensors <= SMALL_TENSORS
        return self._small if is_small else self._large

    def cancel(self) -> None:
        """Cancel everything in progress."""
        self._large.cancel()
        self._small.cancel()
