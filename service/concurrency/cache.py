"""Cache of the most recently used values, bounded by their total weight."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LatestCache(LRUCache[K, V]):
    """Least-recently-used cache of up to `capacity` total weight. Belongs to one thread.

    The latest value is always kept, even if it exceeds the capacity alone; `LRUCache` would
    refuse it.
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int]) -> None:
        capacity = max(capacity, 1)  # At 0, values would weigh nothing, and all would be kept.
        super().__init__(capacity, lambda value: min(weigh(value), capacity))
